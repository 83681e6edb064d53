"""Weights & Biases (extra ``wandb``), offline: ``wandb sync OUT/wandb/offline-run-*`` sends what is written."""

import os
import shutil
from collections.abc import Mapping
from typing import Any

from dcasekit.containers.loggers.base import Logger
from dcasekit.core.files import writing


class Wandb(Logger):
    """Settings as the run's configuration, numbers of epochs as its history, results as its summary; in ``wandb`` of the run's folder.

    Nothing is sent unless the environment says ``WANDB_MODE=online``; project and account are those of the environment. Offline, W&B keeps
    what it is told in memory, so that of a killed run nothing is left: when it goes on, it is told from its first epoch on. See `Logger`
    for the parameters.
    """

    package, extra = "wandb", "wandb"
    _run: Any

    def open(self, run: str, *, new: bool) -> str:
        """Begin the run, or go on with it: offline by a new folder of the same id, in place of what is there."""
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # read when it is imported
        import wandb

        mode: Any = os.environ.get("WANDB_MODE", "offline")
        with writing(self.folder / "wandb"):
            self.folder.mkdir(parents=True, exist_ok=True)
        offline = mode != "online"
        for part in self.folder.glob(f"wandb/offline-run-*-{run}") if offline else ():
            shutil.rmtree(part)
        self._run = wandb.init(
            id=run,
            name=self.name,
            dir=str(self.folder),
            mode=mode,
            config=self.settings,
            resume=None if offline or new else "allow",
            settings=wandb.Settings(silent=True, console="off", disable_git=True, disable_code=True, x_disable_stats=True),
        )
        for epoch, numbers in self.told.items() if offline else ():
            self.write(numbers, epoch)
        return run

    def write(self, numbers: Mapping[str, float], epoch: int) -> None:
        """Add a step to the history."""
        self._run.log(dict(numbers), step=epoch)

    def close(self, results: Mapping[str, float], epoch: int) -> None:  # noqa: ARG002
        """Note the results in the summary."""
        self._run.summary.update(dict(results))
        self._run.finish()
