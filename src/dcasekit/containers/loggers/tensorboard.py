"""TensorBoard (extra ``tensorboard``), written by tensorboardX: ``tensorboard --logdir OUT``."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from dcasekit.containers.loggers.base import Logger
from dcasekit.core.files import writing
from dcasekit.core.tables import Table


class TensorBoard(Logger):
    """Log a run with TensorBoard: numbers of epochs and results as scalars, settings as text, in ``tensorboard`` in the run's folder.

    See `Logger` for the parameters.
    """

    package, extra = "tensorboardX", "tensorboard"
    _writer: Any

    def open(self, run: str, *, new: bool) -> str:
        """Begin a new event file; all event files in the folder are one run. See `Logger.open`."""
        from tensorboardX.event_file_writer import EventsWriter  # `SummaryWriter` writes by a thread, and flushes what that has written
        from tensorboardX.summary import text

        folder = self.folder / "tensorboard"
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        # Without a number two files of one second would have one name.
        self._writer = EventsWriter(str(folder / "events"), f".{len(list(folder.iterdir())):04d}")
        if new:
            rows = [(name, str(value)) for name, value in self.settings.items()]
            self._add([text("settings", f"{self.name}\n\n{Table(('setting', 'value'), rows).markdown()}")], 0)
        return run

    def write(self, numbers: Mapping[str, float], epoch: int) -> None:
        """Add the numbers of an epoch as a point of each curve."""
        from tensorboardX.summary import scalar

        self._add([scalar(name, value) for name, value in numbers.items()], epoch)

    def close(self, results: Mapping[str, float], epoch: int) -> None:
        """Add the results as curves with a single point."""
        self.write(results, epoch)
        self._writer.close()

    def _add(self, summaries: Sequence[Any], epoch: int) -> None:
        from tensorboardX.proto.event_pb2 import Event

        for summary in summaries:
            self._writer.write_event(Event(wall_time=time.time(), step=epoch, summary=summary))
        self._writer.flush()
