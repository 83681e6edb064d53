"""Pages from Jinja's templates: everything is escaped, control characters are shown and not written; one file, nothing fetched."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from dcasekit.core.files import check_place, place, write_json, write_text
from dcasekit.core.processes import is_first
from dcasekit.core.tables import Table, visible
from dcasekit.core.units import PathLike
from dcasekit.plots import to_svg

if TYPE_CHECKING:
    from jinja2 import Environment

Draw = Callable[..., object]

_PHONE = 330  # pixels that a card has there for its content
_BAR = 24  # pixels of a row


FILES, _KIND = ("report.json", "report.md", "report.html"), "report"
TRIAL = "A trial run with small settings: it shows that everything works; its numbers prove nothing."


class Writable(Protocol):
    """A report that is written as three files."""

    def to_dict(self) -> dict[str, Any]: ...  # noqa: D102
    def to_markdown(self) -> str: ...  # noqa: D102
    def to_html(self) -> str: ...  # noqa: D102


def save(report: Writable, folder: PathLike) -> Path:
    """Write ``report.json``, ``report.md`` and ``report.html``, each atomically; return the path of the last."""
    if not is_first():
        return Path(folder, FILES[-1])
    check_folder(folder)
    data, text, page = (place(folder, name, kind=_KIND) for name in FILES)
    write_json(data, report.to_dict())
    write_text(text, report.to_markdown())
    return write_text(page, report.to_html())


def check_folder(folder: PathLike) -> None:
    """Raise StorageError if `save` could not write into a folder, since it holds files that dcasekit did not write."""
    check_place(folder, *FILES, kind=_KIND)


@dataclass(frozen=True)
class Fact:
    """A value as text, and a caption that says what it is."""

    value: str
    caption: str


@dataclass(frozen=True)
class Card:
    """Pictures (SVG), a table, or both, under a title; pictures scroll sideways on screens narrower than `least_width` pixels."""

    title: str
    pictures: Sequence[str] = ()
    table: Table | None = None
    note: str = ""
    height: float = 240
    least_width: int = 0


def render(template: str, **values: Any) -> str:
    """Fill in a template of the package, by its file name; every text is escaped."""
    return _environment().get_template(template).render(**values)


def picture(title: str, draw: Draw, *, note: str = "", width: float = 420, height: float = 240) -> Card:
    """Draw a card with one picture."""
    return Card(title, [figure(title, draw, width=width, height=height)], note=note, height=height)


def figure(title: str, draw: Draw, *, width: float = 420, height: float = 240) -> str:
    """Draw a picture as SVG; `draw` is a function of `dcasekit.plots` with all arguments bound but ``ax=``."""
    return drawing(title, lambda figure: draw(ax=figure.subplots()), width=width, height=height)


def drawing(title: str, draw: Draw, *, width: float, height: float) -> str:
    """Draw a figure as SVG that a template does not escape; `draw` takes the figure."""
    from markupsafe import Markup

    return Markup(to_svg(draw, title=title, width=width, height=height))  # noqa: S704 - written by us, texts in it are escaped


def table_card(table: Table, *, pictures: Sequence[str] = (), note: str = "") -> Card:
    """Make a card of a table, with the table's title."""
    return Card(table.title, pictures, table, note, height=32.0 * (1 + len(table.rows)))


def bars_height(count: int) -> float:
    """Return the height in pixels of a chart with this number of bars and an axis."""
    return _BAR * max(count, 1) + 52


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    found = Environment(
        loader=PackageLoader("dcasekit.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        finalize=lambda value: value if hasattr(value, "__html__") or not isinstance(value, str) else visible(value),
    )
    found.filters |= {"broad": _broad, "columns": _columns}
    return found


def _broad(table: Table) -> bool:
    """Whether a table is too broad for a phone: numbers stay on their line, texts are broken between words."""
    columns = zip(table.numeric, zip(table.columns, *table.cells, strict=True), strict=True)
    pieces = ([piece for cell in column for piece in ([cell] if numeric else cell.split())] for numeric, column in columns)
    return sum(16 + 7 * max(map(len, parts), default=0) for parts in pieces) > _PHONE


def _columns(cards: Sequence[Card]) -> list[list[tuple[int, Card]]]:
    """Deal cards to two columns, each to the one that is shorter so far; with their number in the order of reading."""
    columns: list[list[tuple[int, Card]]] = [[], []]
    for index, card in enumerate(cards):
        shorter = min(columns, key=lambda column: sum(one.height + 90 for _, one in column))
        shorter.append((index, card))
    return columns
