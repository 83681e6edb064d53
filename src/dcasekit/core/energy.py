"""Electricity that work takes, and the greenhouse gases of making it: estimated by codecarbon (extra ``energy``), offline.

The country whose electricity is assumed is codecarbon's own setting, ``country_iso_code`` in ``~/.codecarbon.config`` or the environment
variable ``CODECARBON_COUNTRY_ISO_CODE`` (ESP, DEU ...); without it, the world's average. This process and its workers are counted; GPUs,
and processors with energy counters of their own, are counted whole, with what others run on them. Nothing is sent or logged.
"""

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, cast

from dcasekit.core.files import check_place, place, read_json, write_json
from dcasekit.core.units import PathLike
from dcasekit.errors import MissingExtraError, StorageError

Run = TypeVar("Run", bound=Callable[..., Any])

_log = logging.getLogger(__name__)

FILE, _KIND = "energy.json", "energy"
WORLD = "world average"
NOT_INSTALLED = f"Energy was not measured: {MissingExtraError('codecarbon', 'energy')}"
FAILED = "Energy was not measured: codecarbon gave no numbers on this machine."
_SECONDS = 5.0  # between two readings, and so what a kill may lose


@dataclass(frozen=True)
class Energy:
    """What some work took.

    Parameters
    ----------
    seconds : of time.
    kwh, kg_co2e : electricity, and the greenhouse gases of making it; NaN: not measured.
    country : whose electricity was assumed: a code of three letters, or the world's average; "": of nothing.
    note : why something was not measured.
    """

    seconds: float
    kwh: float = math.nan
    kg_co2e: float = math.nan
    country: str = ""
    note: str = ""

    def plus(self, other: "Energy") -> "Energy":
        """Add what other work took; if one is unknown, so is the sum."""
        seconds, kwh, kg = self.seconds + other.seconds, self.kwh + other.kwh, self.kg_co2e + other.kg_co2e
        countries = ", ".join(dict.fromkeys(filter(None, (self.country, other.country))))
        return Energy(seconds, kwh, kg, countries, self.note or other.note)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values; what is unknown is ``None``."""
        return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Energy":
        """Take what `to_dict` gave."""
        known: dict[str, Any] = {name: math.nan if value is None else value for name, value in values.items()}
        return cls(**known)


class Meter:
    """A meter that runs; `measure` makes it, and stops it.

    Parameters
    ----------
    before : what came before it, and counts.
    folder : where ``energy.json`` holds the sum at any time, once it exists, so that a run that is killed and goes on knows it.
    """

    def __init__(self, before: Energy, folder: Path | None) -> None:
        self._before, self._folder = before, folder
        self._began = time.perf_counter()
        self._total: Any = None  # codecarbon's, of this process
        self._lap = before
        self._tracker = self._start()

    def read(self) -> Energy:
        """Return what was used up to now."""
        if self._tracker is not None:
            self._tracker.flush()
        return self._sum()

    def lap(self) -> dict[str, float]:
        """Return ``kwh`` and ``kg_co2e`` since the last lap."""
        now, last = self.read(), self._lap
        self._lap = now
        return {"kwh": now.kwh - last.kwh, "kg_co2e": now.kg_co2e - last.kg_co2e}

    def stop(self, *, done: bool) -> None:
        """Stop, and note whether the work is done: if not, the next meter of this folder goes on."""
        if self._tracker is not None:
            self._tracker.stop()
        self._write(done=done)

    def _start(self) -> Any:
        try:
            from codecarbon import OfflineEmissionsTracker
            from codecarbon.output_methods.base_output import BaseOutput
        except ModuleNotFoundError:
            return None

        def take(_: Any, total: Any, delta: Any) -> None:  # noqa: ARG001 - codecarbon's signature
            self._total = total
            with suppress(OSError):  # it may be codecarbon's thread, and the end tells
                self._write(done=False)

        logging.getLogger("codecarbon").setLevel(logging.CRITICAL)  # it speaks before it reads log_level
        tracker = OfflineEmissionsTracker(
            tracking_mode="process",
            measure_power_secs=_SECONDS,
            api_call_interval=1,
            allow_multiple_runs=True,
            log_level="critical",
            # Whatever the user's own settings of codecarbon are: no file, no log, no address.
            output_methods=[],
            emissions_endpoint=False,
            electricitymaps_api_token=False,
            output_handlers=[type("Reading", (BaseOutput,), {"out": take, "live_out": take})()],
        )
        tracker.start()
        self._began = time.perf_counter()  # getting ready took seconds, which are not the work's
        return tracker

    def _sum(self) -> Energy:
        seconds, total = time.perf_counter() - self._began, self._total
        if total is None:
            return self._before.plus(Energy(seconds, note=FAILED if self._tracker else NOT_INSTALLED))
        # Of a country that it does not know, codecarbon takes the world's average.
        country = total.country_iso_code if total.country_name else WORLD
        return self._before.plus(Energy(seconds, total.energy_consumed, total.emissions, country))

    def _write(self, *, done: bool) -> None:
        if self._folder is not None and self._folder.is_dir():
            write_json(place(self._folder, FILE, kind=_KIND), {**self._sum().to_dict(), "done": done})


_running: ContextVar[Meter | None] = ContextVar("running", default=None)


@contextmanager
def measure(folder: PathLike | None = None) -> Iterator[Meter]:
    """Measure what the block takes.

    Parameters
    ----------
    folder : of a run: ``energy.json`` there holds the sum; of a run that was interrupted, and goes on, it counts every part.

    Raises
    ------
    StorageError : there is a file of that name, which dcasekit did not write.

    Examples
    --------
    ::

        with measure() as meter:
            model.train(data)
        print(meter.read().kwh)
    """
    folder = None if folder is None else Path(folder)
    meter = Meter(Energy(0.0, 0.0, 0.0) if folder is None else _unfinished(folder), folder)
    token, done = _running.set(meter), False
    try:
        yield meter
        done = True
    finally:
        _running.reset(token)
        meter.stop(done=done)


def measured(run: Run) -> Run:
    """Measure a recipe's ``run(config, data, out)``, in its folder; its report then says what it took, see `so_far`."""

    @wraps(run)
    def run_measured(config: Any, data: Any, out: Path, **settings: Any) -> Any:
        with measure(out):
            return run(config, data, out, **settings)

    return cast("Run", run_measured)


def so_far() -> Energy | None:
    """Return what the block of the innermost `measure` took up to now; ``None``: nothing is measured."""
    return None if (meter := _running.get()) is None else meter.read()


@contextmanager
def laps(asked: bool) -> Iterator[Callable[[], dict[str, float]]]:
    """Yield a function that says what was used since it was last called, see `Meter.lap`; if this is not asked for, it says nothing."""
    if not asked:
        yield dict
        return
    with measure() as meter:
        if note := meter.read().note:
            _log.warning(note)
        meter.lap()
        yield meter.lap


def _unfinished(folder: Path) -> Energy:
    """Return what an interrupted run took; zero if there is none."""
    zero, path = Energy(0.0, 0.0, 0.0), check_place(folder, FILE, kind=_KIND)
    if not path.exists():
        return zero
    try:
        found = read_json(path, error=StorageError)
        return zero if found.pop("done") else Energy.from_dict(found)
    except (StorageError, LookupError, TypeError, AttributeError):
        _log.warning("%s cannot be read, so the energy of the interrupted run is not counted", path)
        return zero
