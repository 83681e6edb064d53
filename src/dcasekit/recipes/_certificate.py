"""Whether a run of a recipe reproduces what was published: its measures against the recipe's bands, as a certificate."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from dcasekit.core.files import place, write_json, write_text
from dcasekit.core.tables import Table, markdown
from dcasekit.errors import MetricError
from dcasekit.recipes._runs import Record
from dcasekit.results import plain

Verdict = Literal["passed", "failed", "not a reproduction"]
FILES, _KIND = ("certificate.json", "certificate.md"), "certificate"
_FREE = ("seed", "device", "quick")  # settings that are no part of a published system


@dataclass(frozen=True)
class Check:
    """A measure, its value, and the band `low` to `high` that it must lie in, both included; NaN: undefined, or not measured."""

    measure: str
    value: float
    low: float
    high: float

    @property
    def holds(self) -> bool:
        """Whether the measure lies in its band."""
        return self.low <= self.value <= self.high

    def __str__(self) -> str:
        value = "undefined" if math.isnan(self.value) else f"{self.value:.4f}"
        return f"{self.measure} is {value}, {'in' if self.holds else 'outside'} the band {self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Certificate:
    """The result of checking a run: its record, the checks, and reasons why it cannot count as a reproduction."""

    record: Record
    checks: Sequence[Check]
    excluded: Sequence[str]

    @property
    def verdict(self) -> Verdict:
        """The verdict on the run."""
        return "not a reproduction" if self.excluded else "passed" if all(check.holds for check in self.checks) else "failed"

    @property
    def reasons(self) -> list[str]:
        """Sentences that give the reasons for the verdict."""
        return [*self.excluded, *map(str, self.checks)]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        checks = [asdict(check) | {"holds": check.holds} for check in self.checks]
        return dict(plain({"verdict": self.verdict, "reasons": self.reasons, "checks": checks, "run": asdict(self.record)}))

    def to_markdown(self) -> str:
        """Return the certificate as a page of Markdown."""
        run = self.record
        checks = [(one.measure, one.value, f"{one.low:g} to {one.high:g}", "yes" if one.holds else "no") for one in self.checks]
        data = [(name, about["files"] or "made", about["fingerprint"], about["folder"]) for name, about in run.data.items()]
        about = {"recipe": run.recipe, "seeds": ", ".join(map(str, run.seeds)), "seconds": f"{run.seconds:.1f}"} | _energy(run)
        tables = (
            Table(("measure", "value", "band", "in it"), checks, title="Bands"),
            Table(("measure", "value", "95 % interval"), _measures(run), title="Measures"),
            Table(("dataset", "files", "fingerprint", "folder"), data, title="Data"),
            Table(("name", "value"), list((about | dict(run.environment)).items()), title="Run"),
            Table(("name", "value"), [(name, str(value)) for name, value in run.settings.items()], title="Settings"),
        )
        reasons = "".join(f"- {markdown(reason)}\n" for reason in self.reasons)
        return "\n".join([f"# {markdown(run.recipe)}: {self.verdict}\n", reasons, *(table.markdown() for table in tables if table.rows)])

    def save(self, folder: Path) -> Path:
        """Write ``certificate.json`` and ``certificate.md``; return the path of the last."""
        data, text = (place(folder, name, kind=_KIND) for name in FILES)
        write_json(data, self.to_dict())
        return write_text(text, self.to_markdown())


def certify(recipe: ModuleType, record: Record) -> Certificate:
    """Check a finished run against the bands of its recipe.

    Parameters
    ----------
    recipe : module of the recipe, with the bands in ``BANDS``.
    record : record of the run.

    Raises
    ------
    MetricError : the run is of another recipe, or several sections have a measure that a band is for.
    """
    if record.recipe != recipe.__name__:
        raise MetricError(f"the run is of {record.recipe}, not of {recipe.__name__}; give the recipe of the run")
    bands = getattr(recipe, "BANDS", {})
    checks = [Check(name, _value(record, name), *band) for name, band in bands.items()]
    return Certificate(record, checks, _excluded(recipe, record))


def _excluded(recipe: ModuleType, record: Record) -> list[str]:
    """Say why a run cannot be a reproduction, whatever its numbers."""
    published = plain(asdict(recipe.Config()))
    changed = [name for name, value in published.items() if name not in _FREE and record.settings.get(name) != value]
    reasons = ["it ran with the small settings (--quick)"] if record.settings.get("quick") else []
    reasons += [f"{name} is {record.settings.get(name)!r}; published {published[name]!r}" for name in changed] if not reasons else []
    reasons += [f"the sounds of {name} are synthetic, not recorded" for name, about in record.data.items() if about["made"]]
    return reasons if getattr(recipe, "BANDS", {}) else [*reasons, "the recipe has no published band (BANDS) to be checked against"]


def _value(record: Record, name: str) -> float:
    """Find a measure by its name, or by ``section: measure``; NaN if it was not measured."""
    found = {
        f"{section}: {measure}": one["value"]
        for section, measures in record.measures.items()
        for measure, one in measures.items()
        if name in (measure, f"{section}: {measure}")
    }
    if len(found) > 1:
        raise MetricError(f"several sections have the measure {name!r}; name the band after one of: {', '.join(found)}")
    value = next(iter(found.values()), None)
    return math.nan if value is None else float(value)


def _measures(record: Record) -> list[tuple[str, Any, str]]:
    found = []
    for section, measures in record.measures.items():
        for measure, one in measures.items():
            ends = [end for end in one["interval_95"] if end is not None]
            found.append((f"{section}: {measure}", one["value"], " to ".join(f"{end:.3f}" for end in ends) or "–"))
    return found


def _energy(record: Record) -> dict[str, str]:
    used = record.energy or {}
    if used.get("kwh") is None:
        return {"energy": str(used.get("note") or "not measured")}
    return {"energy": f"{used['kwh']:.3g} kWh, {used['kg_co2e']:.3g} kg CO2e ({used['country']}, estimated by codecarbon)"}
