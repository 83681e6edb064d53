"""What all loggers do: log the settings once, the numbers of each epoch once, even after an interruption, and the results at the end."""

import importlib.util
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

from dcasekit.core.files import place, read_json, write_json
from dcasekit.core.units import PathLike
from dcasekit.errors import MissingExtraError, StorageError

_KIND = "logger"


class Logger(ABC):
    """A callback of `train` that logs a run with another program.

    A file in the run's folder records what was logged: a run that is interrupted and resumed stays one run there, and a finished run is
    not logged again. Nothing is opened before the first epoch ends.

    Parameters
    ----------
    folder : folder of the run; everything is written below it.
    name : name of the run; by default that of the folder.
    settings : settings that determine the result of the run; nested settings get dotted names, see `flatten`.

    Attributes
    ----------
    package, extra : the Python package that the logger needs, and the extra of dcasekit that installs it.

    Raises
    ------
    MissingExtraError : the package is not installed.

    Examples
    --------
    ::

        log = TensorBoard("runs/first", settings={"model": "SB_CNN", "learning_rate": 1e-3})
        model.train(train, validation, callbacks=[log])
        log.finish(model.evaluate(test).numbers)
    """

    package: ClassVar[str]
    extra: ClassVar[str]

    def __init__(self, folder: PathLike, *, name: str = "", settings: Mapping[str, Any] | None = None) -> None:
        self.check()
        self.folder, self.name, self.settings = Path(folder), name or Path(folder).name, flatten(settings or {})
        path = self.folder / self._note
        found = read_json(path, error=StorageError) if path.exists() else {}
        self._log: dict[str, Any] = {"run": uuid4().hex[:16], "epochs": {}, "finished": False} | found
        self._opened = False

    @classmethod
    def check(cls) -> None:
        """Check that the package which the logger needs is installed.

        Raises
        ------
        MissingExtraError : it is not installed.
        """
        if importlib.util.find_spec(cls.package) is None:
            raise MissingExtraError(cls.package, cls.extra)

    def __call__(self, record: Mapping[str, float]) -> None:
        """Log the record of an epoch, unless it was logged before; undefined numbers are left out."""
        epoch = int(record["epoch"])
        if epoch > self._last:
            self._begin()
            numbers = _known({key: value for key, value in record.items() if key != "epoch"})
            self.write(numbers, epoch)
            self._remember(epochs={**self._log["epochs"], str(epoch): numbers}, finished=False)

    def finish(self, results: Mapping[str, float], history: Sequence[Mapping[str, float]] = ()) -> None:
        """Log the results and close the run.

        Parameters
        ----------
        results : name -> number; they are logged as ``test/`` and the name.
        history : records of all epochs; those that an interruption kept from being logged are logged now.
        """
        for record in history:
            self(record)
        if not self._log["finished"]:
            self._begin()
            self.close(_known({f"test/{key}": value for key, value in results.items()}), self._last)
            self._remember(finished=True)
        self._opened = False

    @abstractmethod
    def open(self, run: str, *, new: bool) -> str:
        """Begin a run, or continue it.

        Parameters
        ----------
        run : id of the run: a random one for a new run, else what `open` returned for it.
        new : whether the run is new; then its settings are logged.

        Returns
        -------
        str : the id that `open` needs to continue the run.
        """

    @abstractmethod
    def write(self, numbers: Mapping[str, float], epoch: int) -> None:
        """Log the numbers of an epoch, counted from 1."""

    @abstractmethod
    def close(self, results: Mapping[str, float], epoch: int) -> None:
        """Log the results, with the number of the last epoch, and end the run."""

    @property
    def logged(self) -> dict[int, dict[str, float]]:
        """Epoch, counted from 1 -> its numbers, for all epochs that were logged."""
        return {int(epoch): numbers for epoch, numbers in self._log["epochs"].items()}

    @property
    def _last(self) -> int:
        return max(self.logged, default=0)

    @property
    def _note(self) -> str:
        return f"{type(self).__name__.lower()}.json"

    def _begin(self) -> None:
        if not self._opened:
            run = self.open(self._log["run"], new=not self._log.get("begun", False))
            self._remember(run=run, begun=True)
            self._opened = True

    def _remember(self, **facts: Any) -> None:
        self._log |= facts
        write_json(place(self.folder, self._note, kind=_KIND), self._log)


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings as one level, with dotted names.

    >>> flatten({"model": {"class": "MLP", "sizes": [8, 4]}, "epochs": 3})
    {'model.class': 'MLP', 'model.sizes': [8, 4], 'epochs': 3}
    """
    found: dict[str, Any] = {}
    for name, value in settings.items():
        found |= flatten(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return found


def _known(numbers: Mapping[str, float]) -> dict[str, float]:
    """Leave out what is undefined."""
    return {name: float(value) for name, value in numbers.items() if value is not None and math.isfinite(value)}
