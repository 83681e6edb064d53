"""What `dcasekit score` found, as a page; and the PSD-ROC that every page of detection shows."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial

import numpy as np

from dcasekit import __version__, plots
from dcasekit.core.tables import Table
from dcasekit.core.units import PathLike
from dcasekit.metrics import psds
from dcasekit.plots.svg import percent
from dcasekit.report.pages import Card, Fact, bars_height, picture, render
from dcasekit.report.words import duration, show, writer_for
from dcasekit.results import describe_left_out
from dcasekit.results.scoring import Material, Score

ROC_NOTE = "Thin: one label each. Thick: their mean less its weighted standard deviation, whose area is the PSDS."


def score_page(title: str, scores: Sequence[Score], material: Material, *, files: Mapping[str, PathLike]) -> str:
    """Make one self-contained HTML page: main numbers, files, a chart and a table per metric, and PSD-ROCs if there are scores.

    Parameters
    ----------
    title : title of the page.
    scores : result of each metric.
    material : what the metrics were computed from.
    files : files that were read, e.g. ``{"reference": "ref.tsv", "estimate": "scores/"}``.
    """
    seconds = sum((material.durations or {}).get(clip, 0.0) for clip in material.reference)
    events = sum(map(len, material.reference.values()))
    about = [f"{len(material.reference):,} clips", f"{events:,} events of {len(material.labels)} labels"]
    about += [f"{duration(seconds)} of audio"] if seconds else []
    cards = [card for one in scores for card in _bars(one, material.labels)]
    if material.scores is not None:
        data = (material.reference, material.scores, material.durations or {})
        for name, setting in (("PSDS1", psds.PSDS1), ("PSDS2", psds.PSDS2)):
            cards.append(roc_card(name, psds.roc(*data, **setting, labels=material.labels)))
    return render(
        "scores.html",
        title=title,
        about=[*about, f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC", f"dcasekit {__version__}"],
        facts=[Fact(show(one.metric, one.value), _caption(one)) for one in scores],
        left_out=describe_left_out(material.left_out, clips="clips of the reference without an estimate"),
        files={name: str(path) for name, path in files.items()},
        cards=cards,
        details=[_table(one) for one in scores],
        how_to_read=_how_to_read(scores),
    )


def _how_to_read(scores: Sequence[Score]) -> str:
    """Explain what is on the page, and nothing that is not."""
    drawn = [one.metric for one in scores if not np.isnan(one.interval[0])]
    said = {
        "Intervals are 95 % bootstrap intervals over clips.": drawn,
        "Metrics whose name begins with best choose each label's threshold on these very clips: they say what the scores are worth, not "
        "what a system with a fixed threshold gets.": [one for one in scores if one.metric.startswith("best")],
        "An interval of PSDS says where the PSDS of endless clips is: labels differ less there than by chance on few, so it may lie above "
        "the figure.": [metric for metric in drawn if metric.startswith("psds")],
        "A dash means undefined: the label does not occur.": [one for one in scores if np.isnan([*one.numbers.values()]).any()],
    }
    return " ".join(sentence for sentence, about in said.items() if about)


def roc_card(name: str, roc: psds.Roc) -> Card:
    """Make a card with a PSD-ROC, drawn up to its largest rate of false positives."""
    return picture(f"PSD-ROC, {name}", partial(plots.psd_roc, roc), note=f"{ROC_NOTE} Here {percent(roc.area)}.")


def _caption(one: Score) -> str:
    low, high = one.interval
    return one.metric if np.isnan(low) else f"{one.metric}, 95 % interval {show(one.metric, low)} to {show(one.metric, high)}"


def _bars(one: Score, labels: Sequence[str]) -> list[Card]:
    kind = one.headline.partition("/")[0]
    values = {label: one.numbers[f"{kind}/{label}"] for label in labels if f"{kind}/{label}" in one.numbers}
    draw = partial(plots.label_bars, values, name=one.metric, write=writer_for(one.metric))
    title = f"{one.metric} of each label"
    return [picture(title, draw, height=bars_height(len(values)))] if values else []


def _table(one: Score) -> Table:
    rows = [(name, f"{value:.4f}".replace("nan", "–")) for name, value in one.numbers.items()]
    return Table(("number", "value"), rows, title=one.metric)
