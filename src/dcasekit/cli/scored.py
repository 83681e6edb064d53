"""``dcasekit score``: the files of any system against a reference."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import typer

from dcasekit.cli.output import document, table, text
from dcasekit.cli.settings import assignments, keywords
from dcasekit.core.files import place, write_text
from dcasekit.core.parallel import Backend, map_clips
from dcasekit.metrics.bootstrap import Mapper
from dcasekit.results import describe_left_out, plain, scoring

_COLUMNS = 4  # metrics side by side


def choose_mapper(*, jobs: int, backend: Backend, address: str | None) -> Mapper | None:
    """Return what computes the blocks of a bootstrap, on this machine's processes or a cluster's; ``None``: this process."""
    if jobs == 1 and backend in ("processes", "threads"):
        return None
    return partial(map_clips, jobs=jobs, backend=backend, address=address, batch=1)


def run(
    material: scoring.Material,
    names: Sequence[str],
    settings: Sequence[str] | None,
    *,
    repeats: int,
    seed: int,
    mapper: Mapper | None = None,
) -> list[scoring.Score]:
    """Compute metrics; a setting is ``metric.key=value``, or ``key=value`` for all that have it."""
    texts = assignments(settings, option="-S")
    found = []
    for name in names:
        function = scoring.find_metric(name).function
        known = set(scoring.settings_of(function))
        own = {key.removeprefix(f"{name}."): value for key, value in texts.items() if key.startswith(f"{name}.")}
        own = {key: value for key, value in texts.items() if key in known} | own
        chosen = keywords(function, own, option="-S")
        found.append(scoring.score(name, material, settings=chosen, repeats=repeats, seed=seed, mapper=mapper))
    used = {key for name in names for key in (*scoring.settings_of(scoring.find_metric(name).function),)}
    for key in texts:
        head, dot, tail = key.rpartition(".")
        if tail not in used or (dot and head not in names):
            raise typer.BadParameter(f"no metric asked for has a setting {key!r}; known: {', '.join(sorted(used))}", param_hint="-S")
    return found


def show(
    scores: Sequence[scoring.Score], material: scoring.Material, *, as_json: bool, html: Path | None, files: Mapping[str, Path]
) -> None:
    """Print what was found, and write a page that names the files."""
    if html is not None:
        from dcasekit.report.score_page import score_page

        page = score_page("Scores", scores, material, files=files)
        write_text(place(html.parent, html.name, kind="page of scores"), page)
    if as_json:
        found = [
            {"metric": one.metric, "headline": one.headline, "value": one.value, "interval_95": one.interval, "numbers": one.numbers}
            for one in scores
        ]
        events = sum(map(len, material.reference.values()))
        counts = {"clips": len(material.reference), "events": events, "left_out": material.left_out}
        return document(plain({**counts, "labels": material.labels, "metrics": found}))
    bounds = [[f"{end:.4f}" if end == end else "-" for end in one.interval] for one in scores]  # noqa: PLR0124 - NaN
    columns = ("metric", "number", "value", "95 % interval")[: 4 if any("-" not in ends for ends in bounds) else 3]
    rows = [
        (one.metric, one.headline, f"{one.value:.4f}", " to ".join(dict.fromkeys(ends))) for one, ends in zip(scores, bounds, strict=True)
    ]
    table(columns, [row[: len(columns)] for row in rows])
    if said := describe_left_out(material.left_out, clips="clips of the reference without an estimate"):
        text(said)
    for first in range(0, len(scores), _COLUMNS):
        _per_label(scores[first : first + _COLUMNS], material.labels)
    return text(f"page: {html}") if html is not None else None


def _per_label(scores: Sequence[scoring.Score], labels: Sequence[str]) -> None:
    """Print the numbers of each label, of the metrics that have them."""
    kinds = {one.metric: one.headline.partition("/")[0] for one in scores}
    shown = [one for one in scores if any(f"{kinds[one.metric]}/{label}" in one.numbers for label in labels)]
    if shown:
        text("")
        values = {label: [one.numbers[f"{kinds[one.metric]}/{label}"] for one in shown] for label in labels}
        rows = [(label, *("-" if number != number else number for number in row)) for label, row in values.items()]  # noqa: PLR0124 - NaN
        table(("label", *(one.metric for one in shown)), rows)
