"""A sweep as a report: every setting that was tried, and what it gave on validation clips."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from dcasekit.core.tables import Table, markdown
from dcasekit.core.units import PathLike
from dcasekit.report.pages import TRIAL, Fact, render, save, table_card
from dcasekit.report.words import duration, settings_table, text
from dcasekit.results import plain

HOW_TO_READ = (
    "Each trial was judged on validation clips; what is kept for a test was not looked at. The best of many trials owes part of its number "
    "to luck, so that this number is no result: run the recipe once with the best settings, and report what it gives on the clips kept."
)


@dataclass(frozen=True)
class Trial:
    """One trial of a sweep.

    Parameters
    ----------
    settings : values of the settings that vary.
    value : value of the measure; ``None``: there is none.
    seconds : duration of the trial since it was last started or resumed.
    state : ``"done"``, or why there is no value.
    """

    settings: Mapping[str, Any]
    value: float | None
    seconds: float
    state: str = "done"


@dataclass(frozen=True)
class SweepReport:
    """All trials of a sweep.

    Parameters
    ----------
    title : title of the page.
    measure : a sentence that says what the value of a trial is, and on which clips; larger values are better.
    settings : settings that were the same in all trials.
    space : setting that varies -> text that describes its values.
    trials : the trials in order.
    command : command line that runs the recipe with the best settings; empty: there are none.
    environment : where the last trial took place, see `environment`.
    """

    title: str
    measure: str
    settings: Mapping[str, Any]
    space: Mapping[str, str]
    trials: Sequence[Trial]
    command: str
    environment: Mapping[str, str]

    @cached_property
    def best(self) -> int | None:
        """Position of the trial with the highest value (the first of equal ones), counted from 0; ``None``: none has a value."""
        values = [(one.value, -at) for at, one in enumerate(self.trials) if one.value is not None]
        return -max(values)[1] if values else None

    @property
    def table(self) -> Table:
        """A table with a row for each trial; the best is highlighted."""
        rows = [
            (number, *(text(one.settings[name]) for name in self.space), one.value, duration(one.seconds), one.state)
            for number, one in enumerate(self.trials)
        ]
        highlight = [] if self.best is None else [self.best]
        return Table(("trial", *self.space, "value", "took", "state"), rows, title="Trials", highlight=highlight)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        kept = ("title", "measure", "settings", "space", "command", "environment")
        content = {name: getattr(self, name) for name in kept} | {"trials": [vars(one) for one in self.trials], "best": self.best}
        return dict(plain(content))

    def to_markdown(self) -> str:
        """Return the trials as a Markdown table."""
        said = [f"{markdown(fact.value)}: {markdown(fact.caption)}\n" for fact in self._facts]
        trial = f"**{TRIAL}**\n" if self.settings.get("quick") else ""
        parts = [f"# {markdown(self.title)}\n", trial, markdown(self.measure) + "\n", *said, self.table.markdown(), f"    {self.command}\n"]
        return "\n".join(part for part in [*parts, *(table.markdown() for table in self._about), HOW_TO_READ + "\n"] if part)

    def to_html(self) -> str:
        """Return one self-contained HTML page."""
        section = {
            "name": "Trials",
            "sentence": self.measure,
            "facts": self._facts,
            "first": [table_card(self.table, note=f"Run it with the best settings: {self.command}" if self.command else "")],
            "notes": (),
            **dict.fromkeys(("left_out", "examples_title"), ""),
            **dict.fromkeys(("cards", "wide", "examples", "details"), ()),
            "timed": False,
            "usage": None,
        }
        return render(
            "report.html",
            title=self.title,
            about=[self.environment.get("date", "")],
            trial=TRIAL if self.settings.get("quick") else "",
            comparison=[],
            sections=[section],
            took=[],
            run=self._about,
            how_to_read=HOW_TO_READ,
        )

    def save(self, folder: PathLike) -> Path:
        """Write ``report.json``, ``report.md`` and ``report.html``, each atomically; return the path of the last.

        Raises
        ------
        StorageError : the folder holds a file with one of these names that dcasekit did not write.
        """
        return save(self, folder)

    @property
    def _facts(self) -> list[Fact]:
        done = [one for one in self.trials if one.value is not None]
        facts = [Fact(f"{len(self.trials)}", "trials" + (f", of which {len(done)} gave a number" if len(done) < len(self.trials) else ""))]
        if self.best is not None:
            best = self.trials[self.best]
            told = ", ".join(f"{name} {text(value)}" for name, value in best.settings.items())
            facts.insert(0, Fact(f"{best.value:.4f}", f"the best, trial {self.best}: {told}"))
        return [*facts, Fact(duration(sum(one.seconds for one in self.trials)), "all trials together")]

    @property
    def _about(self) -> list[Table]:
        tables = (("What varies", self.space), ("Settings of all trials", self.settings), ("Environment", self.environment))
        return [settings_table(title, values) for title, values in tables]
