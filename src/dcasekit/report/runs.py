"""Several runs of a recipe as one report: mean, deviation and interval of each measure, beside published numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from dcasekit.core.energy import Energy
from dcasekit.core.tables import Table, markdown
from dcasekit.core.units import PathLike
from dcasekit.plots.svg import percent
from dcasekit.report.pages import TRIAL, Fact, render, save, table_card
from dcasekit.report.section import Measure, Published, set_beside
from dcasekit.report.section_page import draw_published
from dcasekit.report.words import describe_energy, name, settings_table, show, span, writer_for
from dcasekit.results import plain

HOW_TO_READ = (
    "± is the standard deviation between runs, which differ in their seed alone. Intervals are 95 % intervals of the mean of endless runs, "
    "by Student's t: they tell how far the mean would move with other seeds, on the same clips. A dash means undefined."
)


@dataclass(frozen=True)
class RunsSection:
    """One experiment that several runs measured.

    Parameters
    ----------
    name : heading of the section.
    values : measure -> run -> value; the first measure is the headline. Every measure has the same runs.
    published : system -> its published number.
    notes : sentences, such as what differs from the published protocol.
    """

    name: str
    values: Mapping[str, Mapping[str, float]]
    published: Mapping[str, Published] = field(default_factory=dict)
    notes: Sequence[str] = ()

    @cached_property
    def measured(self) -> Mapping[str, Measure]:
        """Measure -> its mean over the runs, with a 95 % interval of the mean by Student's t."""
        return {key: _mean(key, list(values.values())) for key, values in self.values.items()}

    def deviation(self, measure: str) -> float:
        """Return the sample standard deviation of a measure between runs; NaN for a single run."""
        return _deviation(list(self.values[measure].values()))

    @property
    def tables(self) -> list[Table]:
        """A table of the measures beside published numbers, and one with the values of each run."""
        count = len(next(iter(self.values.values())))
        who = f"mean of {count} runs" if count > 1 else "one run"
        first, *_ = self.values.values()
        rows = [(run, *(show(key, values[run]) for key, values in self.values.items())) for run in first]
        rows.append(("mean", *(show(key, one.value) for key, one in self.measured.items())))
        rows.append(("± deviation", *(show(key, self.deviation(key)) for key in self.values)))
        return [set_beside(self.measured, self.published, who), Table(("run", *map(name, self.values)), rows, title="Runs")]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        measures = {
            key: {"value": one.value, "interval_95": one.interval, "deviation": self.deviation(key), "runs": self.values[key]}
            for key, one in self.measured.items()
        }
        published = {system: vars(one) for system, one in self.published.items()}
        return dict(plain({"name": self.name, "measures": measures, "published": published, "notes": self.notes}))


def _deviation(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")


def _mean(key: str, values: Sequence[float]) -> Measure:
    from scipy.special import stdtrit

    mean, deviation, count = float(np.mean(values)), _deviation(values), len(values)
    reach = float(stdtrit(count - 1, 0.975)) * deviation / count**0.5 if count > 1 else float("nan")
    low, high = mean - reach, mean + reach
    if min(values) >= 0:  # what cannot be below 0 has no mean there, nor a share above 1
        low, high = max(low, 0.0), min(high, 1.0) if writer_for(key) is percent and max(values) <= 1 else high
    return Measure(mean, (low, high), f"± {show(key, deviation)} between runs" if count > 1 else "")


@dataclass(frozen=True)
class RunsReport:
    """Several runs of a recipe.

    Parameters
    ----------
    title : title of the page.
    settings : settings of the runs; ``seed`` is that of the first run.
    sections : the experiments.
    environment : where the last run took place, see `environment`.
    energy : electricity that all runs used; ``None``: not measured.
    """

    title: str
    settings: Mapping[str, Any]
    sections: Sequence[RunsSection]
    environment: Mapping[str, str]
    energy: Energy | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values; undefined numbers are ``None``."""
        energy = None if self.energy is None else self.energy.to_dict()
        content = {"title": self.title, "settings": self.settings, "environment": self.environment, "energy": energy}
        return dict(plain(content | {"sections": [section.to_dict() for section in self.sections]}))

    def to_markdown(self) -> str:
        """Return the numbers as Markdown tables."""
        parts = [f"# {markdown(self.title)}\n", f"**{TRIAL}**\n" if self.settings.get("quick") else ""]
        for section in self.sections:
            notes = "\n".join(f"- {markdown(note)}" for note in section.notes)
            parts += [f"## {markdown(section.name)}\n", f"### Notes\n\n{notes}\n" if notes else ""]
            parts += [table.markdown() for table in section.tables]
        run = [f"{markdown(line)}\n" for line in describe_energy(self.energy)]
        parts += ["## Run\n", *run, *(table.markdown() for table in self._about()), HOW_TO_READ + "\n"]
        return "\n".join(part for part in parts if part)

    def to_html(self) -> str:
        """Return one self-contained HTML page."""
        return render(
            "report.html",
            title=self.title,
            about=[part for part in (self.environment.get("date", ""), *describe_energy(self.energy, short=True)) if part],
            trial=TRIAL if self.settings.get("quick") else "",
            comparison=[],
            sections=[_view(section) for section in self.sections],
            took=describe_energy(self.energy),
            run=self._about(),
            how_to_read=HOW_TO_READ,
        )

    def save(self, folder: PathLike) -> Path:
        """Write ``report.json``, ``report.md`` and ``report.html``, each atomically; return the path of the last.

        Raises
        ------
        StorageError : the folder holds a file with one of these names that dcasekit did not write.
        """
        return save(self, folder)

    def _about(self) -> list[Table]:
        return [settings_table("Settings of the runs", self.settings), settings_table("Environment", self.environment)]


def _view(section: RunsSection) -> dict[str, Any]:
    """Return all that the template of a report shows of a section."""
    main, runs = section.tables
    charts = draw_published(section.measured, section.published, section.name, "our runs")
    first, *_ = section.values.values()
    return {
        "name": section.name,
        "sentence": f"{len(first)} runs that differ in their seed alone; the report of each lies in its folder.",
        "facts": [_fact(key, one) for key, one in section.measured.items()],
        "first": [table_card(main, pictures=charts), table_card(runs)],
        "notes": section.notes,
        **dict.fromkeys(("left_out", "examples_title"), ""),
        **dict.fromkeys(("cards", "wide", "examples", "details"), ()),
        "timed": False,
        "usage": None,
    }


def _fact(key: str, one: Measure) -> Fact:
    said = "" if np.isnan(one.interval[0]) else f" {one.remark}, 95 % interval of the mean {span(one.interval, key)}"
    return Fact(show(key, one.value), f"{name(key)}{said}")
