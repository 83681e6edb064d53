"""Reports of a run that people can read and programs can check: ``report.json``, ``report.md`` and ``report.html``."""

import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from dcasekit import __version__
from dcasekit.core.energy import Energy, so_far
from dcasekit.core.frames import data_frame
from dcasekit.core.tables import Table, markdown
from dcasekit.core.units import PathLike
from dcasekit.report import comparison as _comparison
from dcasekit.report.pages import TRIAL, check_folder, render, save
from dcasekit.report.runs import RunsReport, RunsSection
from dcasekit.report.section import Published, Section, Sizes, facts, sentence, tables
from dcasekit.report.section_page import view
from dcasekit.report.sweep import SweepReport, Trial
from dcasekit.report.words import describe_energy, settings_table, text
from dcasekit.results import describe_left_out, plain

__all__ = ["Published", "Report", "RunsReport", "RunsSection", "Section", "Sizes", "SweepReport", "Trial", "environment"]

HOW_TO_READ = (
    "Intervals are 95 % bootstrap intervals over clips (1000 draws; the clips of one recording are drawn together where "
    "the recording is known). They tell how far a number would move with other test clips, not with another training run. "
    "± is the standard deviation between folds. A dash means undefined: the label does not occur, or was never predicted."
)


@dataclass(frozen=True)
class Report:
    """Settings, environment and results of a run.

    Parameters
    ----------
    title : title of the page.
    settings : settings of the run, as they were given.
    sections : one or more experiments; if all were tested on the same clips, each pair of them is compared by a paired test.
    environment : versions, machine and date, as `environment` returns them.
    data : facts of the data, shown as they are: data set, fingerprint, number of clips ...
    energy : electricity that the run used. The default is what has been measured so far, if the run takes place inside
        `core.energy.measure`, else ``None``.
    """

    title: str
    settings: Mapping[str, Any]
    sections: Sequence[Section]
    environment: Mapping[str, str]
    data: Mapping[str, Any] = field(default_factory=dict)
    energy: Energy | None = field(default_factory=so_far)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values; undefined numbers are ``None``."""
        content = {
            "title": self.title,
            "settings": self.settings,
            "data": self.data,
            "environment": self.environment,
            "energy": None if self.energy is None else self.energy.to_dict(),
            "sections": [section.to_dict() for section in self.sections],
            "comparisons": _comparison.to_dict(self._pairs),
        }
        return dict(plain(content))

    def to_markdown(self) -> str:
        """Return the numbers as Markdown tables."""
        parts = [f"# {markdown(self.title)}\n", f"**{TRIAL}**\n" if self.trial else ""]
        parts += [table.markdown() for table in _comparison.tables(self.sections, self._pairs)]
        for section in self.sections:
            main = "\n".join(f"- **{markdown(fact.value)}** {markdown(fact.caption)}".rstrip() for fact in facts(section))
            missing = markdown(describe_left_out(section.pooled.left_out))
            notes = "\n".join(f"- {markdown(note)}" for note in section.remarks)
            parts += [f"## {markdown(section.name)}\n", f"{markdown(sentence(section))}\n", main + "\n"]
            parts += [f"{missing}\n" if missing else "", f"### Notes\n\n{notes}\n" if notes else ""]
            parts += [table.markdown() for table in tables(section)]
        run = [f"{markdown(line)}\n" for line in describe_energy(self.energy)]
        parts += ["## Run\n", *run, *(table.markdown() for table in self._about()), HOW_TO_READ + "\n"]
        return "\n".join(part for part in parts if part)

    def to_html(self) -> str:
        """Return one self-contained HTML page: charts, tables, how to use the model, and clips to hear and see."""
        about = [
            self.environment.get("date", ""),
            *(f"{name} {text(value)}" for name, value in self.data.items()),
            *describe_energy(self.energy, short=True),
        ]
        return render(
            "report.html",
            title=self.title,
            about=[part for part in about if part],
            trial=TRIAL if self.trial else "",
            comparison=_comparison.cards(self.sections, self._pairs),
            sections=[view(section) for section in self.sections],
            took=describe_energy(self.energy),
            run=self._about(),
            how_to_read=HOW_TO_READ,
        )

    @property
    def trial(self) -> bool:
        """Whether the run was a trial with small settings, as the setting ``quick`` tells."""
        return bool(self.settings.get("quick"))

    def to_frame(self) -> Any:
        """Return all numbers as a `pandas.DataFrame` with the columns section, fold, number (its name) and value.

        Raises
        ------
        MissingExtraError : pandas is not installed.
        """
        return data_frame(
            [
                {"section": section.name, "fold": fold, "number": name, "value": value}
                for section in self.sections
                for fold, numbers in section.numbers.items()
                for name, value in numbers.items()
            ]
        )

    def save(self, folder: PathLike) -> Path:
        """Write ``report.json``, ``report.md`` and ``report.html``, each atomically; return the path of the last.

        A clip whose audio can no longer be read gets a note in place of a player.

        Raises
        ------
        StorageError : the folder holds a file with one of these names that dcasekit did not write.
        """
        return save(self, folder)

    @staticmethod
    def check_folder(folder: PathLike) -> None:
        """Check that `save` can write into a folder, before there is anything to save.

        Raises
        ------
        StorageError : as for `save`.
        """
        check_folder(folder)

    @cached_property
    def _pairs(self) -> _comparison.Pairs:
        return _comparison.pairs(self.sections)

    def _about(self) -> list[Table]:
        parts = (("Settings of the run", self.settings), ("Data", self.data), ("Environment", self.environment))
        return [settings_table(title, values) for title, values in parts if values]


def environment() -> dict[str, str]:
    """Describe where a run takes place: versions, machine and date (UTC). PyTorch is named only if it has been imported."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        processor = names[0] if names else processor
    found = {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "dcasekit": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "platform": platform.platform(),
        "processor": processor,
        "cores": str(os.cpu_count() or "unknown"),
    }
    torch = sys.modules.get("torch")
    return found if torch is None else found | {"torch": str(torch.__version__)}
