"""A figure as SVG text for a page: its colours are the page's own, light or dark, its marks explain themselves when pointed at."""

import base64
import io
import re
import threading
import warnings
from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from dcasekit.core.tables import visible

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, SOFT, LINE, INK, PAPER = "#0a6ab0", "#b84a00", "#5a6675", "#dfe3e8", "#17202b", "#fefefe"
_VARIABLES = {BLUE: "--c0", ORANGE: "--c1", SOFT: "--soft", LINE: "--line", INK: "--ink", PAPER: "--paper"}
_STYLE: dict[str, Any] = {
    "font.size": 12,
    "text.color": INK,
    "axes.labelcolor": SOFT,
    "axes.edgecolor": LINE,
    "axes.labelsize": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.bottom": False,
    "ytick.left": False,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "figure.dpi": 72,  # a point is a pixel
    "svg.fonttype": "none",
}
_HINT = "hint:"
_LONGEST = 26  # characters of a label; the middle of a longer one is left out, and shown when pointed at
_STYLING = threading.Lock()  # matplotlib's settings are global


def to_svg(draw: "Callable[[Figure], object]", *, title: str, width: float = 420, height: float = 240) -> str:
    """Draw a new figure, and return it as an ``<svg>`` element for an HTML page.

    Parameters
    ----------
    draw : function that draws on the figure, e.g. ``lambda figure: confusion_matrix(counts, labels, ax=figure.subplots())``.
    title : what the picture shows; screen readers read it.
    width, height : size of the figure in pixels.

    Notes
    -----
    The page sets the colours by the CSS variables ``--c0`` (blue), ``--c1`` (orange), ``--ink``, ``--soft``, ``--line`` and ``--paper``;
    without them, the colours suit a light page. The background is transparent, and texts stay texts, not outlines.
    """
    from matplotlib.figure import Figure
    from matplotlib.style import context

    text = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    # Warnings: of glyphs that this font lacks and the reader's has, and of labels that take all room.
    with _STYLING, context(["default", _STYLE | {"svg.hashsalt": visible(title)}]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        figure = Figure(figsize=(width / 72, height / 72), layout="constrained")
        draw(figure)
        figure.savefig(text, format="svg", transparent=True, metadata=nothing)
    return _of_page(text.getvalue(), title, width)


def own_axes(ax: "Axes | None") -> "Axes":
    """Return the axes to draw on: those given, or those of a new figure, which pyplot does not keep."""
    if ax is not None:
        return ax
    from matplotlib.figure import Figure

    return Figure(layout="constrained").subplots()


def hint(artist: "Artist", text: str) -> None:
    """Give a mark a tooltip, which is shown in a figure made by `to_svg` only."""
    artist.set_gid(_HINT + visible(text))


def name_ticks(axis: Any, labels: Sequence[str], **settings: Any) -> None:
    """Write labels at 0, 1, 2 ... of an axis, never as formulas; long ones are shortened and get a tooltip."""
    axis.set_ticks(range(len(labels)), [shorten(label) for label in labels], parse_math=False, **settings)
    for tick, label in zip(axis.get_ticklabels(), labels, strict=True):
        if len(label) > _LONGEST:
            hint(tick, label)


def shares(axis: Any) -> None:
    """Set the ticks of an axis of shares to 0, 25, 50, 75 and 100 %."""
    axis.set_ticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])


def shorten(label: str) -> str:
    """Leave out the middle of a long label.

    >>> shorten("Child_speech_and_kid_speaking")
    'Child_speech_and…_speaking'
    """
    label = visible(label)
    return label if len(label) <= _LONGEST else f"{label[:16]}…{label[-9:]}"


def percent(value: float) -> str:
    """Write a share as a percentage; NaN as a dash.

    >>> percent(0.8125), percent(float("nan"))
    ('81.2 %', '–')
    """
    return "–" if value != value else f"{100 * value:.1f} %"  # noqa: PLR0124 - NaN


def _of_page(svg: str, title: str, width: float) -> str:
    """Turn a file of matplotlib into an element of a page."""
    box, body = re.search(r'viewBox="([^"]+)".*?>(.*)', svg[svg.index("<svg") :], flags=re.DOTALL).groups()  # type: ignore[union-attr]
    for pattern, replacement in _MENDED:
        body = pattern.sub(replacement, body)
    for color, variable in _VARIABLES.items():
        body = body.replace(color, f"var({variable}, {color})")
    return (
        f'<svg class="chart" xmlns="http://www.w3.org/2000/svg" viewBox="{box}" style="max-width: {1.15 * width:.0f}px" role="img" '
        f'aria-label="{escape(visible(title))}">{body.strip()}'
    )


def _short(tag: "re.Match[str]") -> str:
    """Round coordinates to a hundredth of a pixel."""
    return re.sub(r"(\.\d\d)\d+", r"\1", re.sub(r"\s+", " ", tag.group()))


def _with_palette(png: "re.Match[str]") -> str:
    """Make a picture of at most 256 colours three times smaller; both are PNG in base64."""
    from PIL import Image

    small = io.BytesIO()
    Image.open(io.BytesIO(base64.b64decode(png.group()))).convert("RGB").quantize(256).save(small, format="png", optimize=True)
    return base64.b64encode(small.getvalue()).decode()


_MENDED: Sequence[tuple["re.Pattern[str]", Any]] = [
    (re.compile(r"<metadata>.*?</metadata>|<defs>\s*<style.*?</style>\s*</defs>", re.DOTALL), ""),
    (re.compile(rf"<g id=([\"']){_HINT}(.*?)\1([^>]*)>"), r"<g\3><title>\2</title>"),  # in single marks where a label has double ones
    (re.compile(r'(?<=<g) id="[^"]*"'), ""),  # several pictures stand on one page
    (re.compile(r"xlink:href"), "href"),
    (re.compile(r"(?<=data:image/png;base64,)[^\"]+"), _with_palette),
    (re.compile(r"font: (?:(\w+) )?([\d.]+px) [^;\"]+"), r"font-size: \2"),  # before matplotlib 3.10
    (re.compile(r"font-family: [^;\"]+;? ?"), ""),  # the page's own
    (re.compile(r' transform="rotate\(-0 [^"]*"'), ""),
    (re.compile(r"<[^>]+>"), _short),
    (re.compile(r">\s+<"), "><"),
]
