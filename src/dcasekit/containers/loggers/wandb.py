"""Weights & Biases (extra ``wandb``), offline: ``wandb sync OUT/wandb/offline-run-*`` sends what is written."""

import os
import shutil
from collections.abc import Mapping
from typing import Any

from dcasekit.containers.loggers.base import Logger
from dcasekit.core.files import writing


class Wandb(Logger):
    """Log a run with W&B: settings as configuration, numbers of epochs as history, results as summary, in ``wandb`` in the run's folder.

    Nothing is sent unless the environment variable ``WANDB_MODE`` is ``online``; project and account are those of the environment.
    Offline, W&B keeps everything in memory, so that nothing is left of a killed run: when it is resumed, all epochs are logged again. See
    `Logger` for the parameters.
    """

    package, extra = "wandb", "wandb"
    _run: Any

    def open(self, run: str, *, new: bool) -> str:
        """Begin a run, or continue it; offline, a new folder with the same id replaces the old one. See `Logger.open`."""
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
        for epoch, numbers in self.logged.items() if offline else ():
            self.write(numbers, epoch)
        return run

    def write(self, numbers: Mapping[str, float], epoch: int) -> None:
        """Add the numbers of an epoch as a step of the history."""
        self._run.log(dict(numbers), step=epoch)

    def close(self, results: Mapping[str, float], epoch: int) -> None:  # noqa: ARG002
        """Write the results into the summary, and end the run."""
        self._run.summary.update(dict(results))
        self._run.finish()
