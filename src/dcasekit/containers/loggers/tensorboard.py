"""TensorBoard (extra ``tensorboard``), written by tensorboardX: ``tensorboard --logdir OUT``."""

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from dcasekit.containers.loggers.base import Logger
from dcasekit.core.tables import Table


class TensorBoard(Logger):
    """Numbers of epochs and results as scalars, settings as a text; in ``tensorboard`` of the run's folder.

    See `Logger` for the parameters.
    """

    package, extra = "tensorboardX", "tensorboard"
    _writer: Any

    def open(self, run: str, *, new: bool) -> str:
        """Begin a file of events; the files of a folder are one run."""
        from tensorboardX import SummaryWriter

        # Two files of one second would have one name.
        self._writer = SummaryWriter(str(self.folder / "tensorboard"), filename_suffix=f".{uuid4().hex[:8]}")
        if new:
            rows = [(name, str(value)) for name, value in self.settings.items()]
            self._writer.add_text("settings", f"{self.name}\n\n{Table(('setting', 'value'), rows).markdown()}", 0)
        return run

    def write(self, numbers: Mapping[str, float], epoch: int) -> None:
        """Add a point to each curve."""
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, epoch)
        self._writer.flush()

    def close(self, results: Mapping[str, float], epoch: int) -> None:
        """Add the results as curves of one point."""
        self.write(results, epoch)
        self._writer.close()
