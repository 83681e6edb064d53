"""From results to something that can be read and checked: ``report.json``, ``report.md`` and ``report.html`` of a run."""

import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from dcasekit import __version__
from dcasekit.core.files import write_json, write_text
from dcasekit.core.units import PathLike
from dcasekit.report import comparison as _comparison
from dcasekit.report import html as _html
from dcasekit.report.html import Table
from dcasekit.report.section import Section, facts, settings_table, tables
from dcasekit.report.section_page import section_html
from dcasekit.results import plain

__all__ = ["Report", "Section", "environment"]

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
    title : of the page.
    settings : of the run, as given.
    sections : one or more experiments; those of the same clips are compared, pair by pair.
    environment : see `environment`.
    data : data set, its fingerprint, number of clips ...: what the run was fed with.
    """

    title: str
    settings: Mapping[str, Any]
    sections: Sequence[Section]
    environment: Mapping[str, str]
    data: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Give everything as what JSON knows; undefined numbers are ``None``."""
        content = {
            "title": self.title,
            "settings": self.settings,
            "data": self.data,
            "environment": self.environment,
            "sections": [section.to_dict() for section in self.sections],
            "comparisons": _comparison.to_dict(self._pairs),
        }
        return dict(plain(content))

    def to_markdown(self) -> str:
        """Give the numbers as Markdown tables."""
        parts = [f"# {self.title}\n", *(table.markdown() for table in _comparison.tables(self.sections, self._pairs))]
        for section in self.sections:
            main = "\n".join(f"- **{value}** {caption}".rstrip() for value, caption in facts(section))
            notes = "\n".join(f"- {note}" for note in section.notes)
            parts += [f"## {section.name}\n", main + "\n", f"### Notes\n\n{notes}\n" if notes else ""]
            parts += [table.markdown() for table in tables(section)]
        parts += ["## Run\n", *(table.markdown() for table in self._about()), HOW_TO_READ + "\n"]
        return "\n".join(part for part in parts if part)

    def to_html(self) -> str:
        """Give one self-contained page: charts, tables, and players of the most confident mistakes."""
        about = [self.environment.get("date", ""), *(f"{name} {_html.text(value)}" for name, value in self.data.items())]
        head = f'<p class="soft">{escape(" · ".join(filter(None, about)))}</p>'
        if len(self.sections) > 1:
            links = (f'<a href="#s{index}">{escape(section.name)}</a>' for index, section in enumerate(self.sections))
            head += f"<nav aria-label='Sections'>{' · '.join(links)}</nav>"
        body = _comparison.html(self.sections, self._pairs)
        body += "".join(section_html(section, f"s{index}") for index, section in enumerate(self.sections))
        details = "".join(_html.folded(table.title, table.html()) for table in self._about())
        return _html.page(self.title, head, f"{body}<section><h2>Run</h2>{details}</section>", f"<p>{escape(HOW_TO_READ)}</p>")

    def save(self, folder: PathLike) -> Path:
        """Write ``report.json``, ``report.md`` and ``report.html``, each atomically; give back the path of the last.

        A clip whose audio cannot be read any more gets a note in place of a player.
        """
        folder = Path(folder)
        write_json(folder / "report.json", self.to_dict())
        write_text(folder / "report.md", self.to_markdown())
        return write_text(folder / "report.html", self.to_html())

    @cached_property
    def _pairs(self) -> _comparison.Pairs:
        return _comparison.pairs(self.sections)

    def _about(self) -> list[Table]:
        parts = (("Settings of the run", self.settings), ("Data", self.data), ("Environment", self.environment))
        return [settings_table(title, values) for title, values in parts if values]


def environment() -> dict[str, str]:
    """Describe where a run takes place: versions, machine, date (UTC). PyTorch is named only if it is in use already."""
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
