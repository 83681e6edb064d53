"""``dcasekit datasets``: list, describe, download, check, split and convert datasets."""

import inspect
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from dcasekit.cli import leaves as _cli_leaves
from dcasekit.cli import options as o
from dcasekit.cli.output import bars, card, document, examples, note, table, text
from dcasekit.core import discover
from dcasekit.errors import DatasetError

if TYPE_CHECKING:
    from dcasekit.annotations import Clip

_FORMS = ("events", "tags", *discover.names("annotations.formats"))

datasets = typer.Typer(
    name="datasets",
    help="List, describe, download, check, split and convert datasets.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    epilog=examples("dcasekit datasets list", "dcasekit datasets download esc50 --data data/ESC-50"),
)


@datasets.command("list", epilog=examples("dcasekit datasets list", "dcasekit datasets list --json"))
def list_datasets(as_json: o.Json = False) -> None:
    """List the datasets that are known.

    JSON: a list of objects name, about, task, labels, folds, protocol, licence, citation.
    """
    found = [_cli_leaves.facts(name, _cli_leaves.dataset(name, None)) for name in discover.names("datasets")]
    if as_json:
        return document(found)
    rows = [(one["name"], one["task"] or "-", len(one["labels"]) or "-", one["about"].partition(": ")[2]) for one in found]
    return table(("name", "task", "classes", "about"), rows)


@datasets.command(epilog=examples("dcasekit datasets info esc10", "dcasekit datasets info esc10 --data data/ESC-50 --json"))
def info(
    name: o.DatasetArgument,
    data: Annotated[Path | None, typer.Option(metavar="PATH", help="Folder of the dataset, to count what is there.")] = None,
    settings: o.DatasetSettings = None,
    as_json: o.Json = False,
) -> None:
    """Describe a dataset: what it holds, how it is split, licence, citation; with --data also counts, and how a folder was understood.

    JSON: the object of `datasets list`, with --data also summary, as `datasets stats` gives it, and for a folder layout: labels and folds
    (where they come from), recordings, unlabelled, left_out (path, why).
    """
    dataset = _cli_leaves.dataset(name, data, settings=settings)
    facts = _cli_leaves.facts(name, dataset)
    layout = getattr(dataset, "layout", None) if data is not None else None  # of a folder of one's own
    if as_json:
        counts = {} if data is None else {"summary": dataset.summary().to_dict()}
        return document(facts | counts | ({} if layout is None else {"layout": layout.to_dict()}))
    text((inspect.getdoc(dataset) or "").partition("\nExamples\n")[0].strip() + "\n")
    card({key: value for key, value in facts.items() if key != "about"})
    if layout is not None:
        text(f"\n{layout}")
    if data is not None:
        text(f"\n{dataset.summary()}")
    return None


@datasets.command(
    epilog=examples("dcasekit datasets stats esc50 --data data/ESC-50", "dcasekit datasets stats folder --data my/recordings")
)
def stats(name: o.DatasetArgument, data: o.Data, settings: o.DatasetSettings = None, as_json: o.Json = False) -> None:
    """Count clips, groups and events per label, and clips and groups per part of every round of the protocol.

    JSON: an object name, task, clips, groups, missing, seconds, folds (name to clips), labels (label, clips, groups, events, total and
    median seconds), rounds (round, and clips and groups to train, to validate, to test on).
    """
    summary = _cli_leaves.dataset(name, data, settings=settings).summary()
    return document(summary.to_dict()) if as_json else text(str(summary))


@datasets.command(
    epilog=examples(
        "dcasekit datasets split esc50 --data data/ESC-50 --fold fold2 --out splits/fold2",
        "dcasekit datasets split tut_urban_acoustic_scenes2018 --data data/TUT2018 --validation 0.3 "
        "--balance identifier_two_level_hierarchy --out splits",
    )
)
def split(  # noqa: PLR0913 - options of a command
    *,
    name: o.DatasetArgument,
    data: o.Data,
    settings: o.DatasetSettings = None,
    fold: o.Fold = None,
    validation: Annotated[
        float | None,
        typer.Option(help="Share of the training clips to validate on.  \\[default: as the protocol says]", show_default=False),
    ] = None,
    balance: Annotated[
        Literal["class", "identifier", "identifier_two_level_hierarchy", "none"],
        typer.Option(help="What the share is taken of: clips or groups of each label, locations of each city, or all clips."),
    ] = "identifier",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draw.")] = 0,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder for train.tsv, validation.tsv and test.tsv.")] = None,
    as_json: o.Json = False,
) -> None:
    """Split a dataset by its protocol, or with validation clips drawn from the training clips; no group is ever cut.

    The lists in DIR have the columns clip, filename, group and labels; where a label is soft or unknown, a row per label and its value.

    JSON: an object train, validation, test, lists of clip ids.
    """
    from dcasekit.core.files import place, write_rows

    source = _cli_leaves.dataset(name, data, settings=settings)
    how: Any = None if balance == "none" else balance
    found = source.split(fold) if validation is None else source.validation_split(validation, balance=how, seed=seed, fold=fold)
    parts = {"train": found.train, "validation": found.validation, "test": found.test}
    if out is not None:
        for part, clips in parts.items():
            write_rows(place(out, f"{part}.tsv", kind="labels"), _tabulate_labels(clips, data))
        if unknown := sum(clip.tags is None for clips in parts.values() for clip in clips):
            note(f"the labels of {unknown} clips are unknown; their cells are empty")
    if as_json:
        return document({part: [clip.id for clip in clips] for part, clips in parts.items()})
    counts = [(part, len(clips), len({clip.group or clip.id for clip in clips})) for part, clips in parts.items()]
    return table(("part", "clips", "groups"), counts)


@datasets.command(
    epilog=examples(
        "dcasekit datasets convert urban_sed --data data/URBAN-SED --to audacity --out labels",
        "dcasekit datasets convert folder --data my/recordings --to events --out labels",
        "dcasekit datasets convert esc10 --data data/ESC-50 -D corrections=data/ESC-50.corrections.jsonl --to tags --out labels",
    )
)
def convert(  # noqa: PLR0913 - options of a command
    *,
    name: o.DatasetArgument,
    data: o.Data,
    to: Annotated[
        str,
        typer.Option(
            metavar="|".join(_FORMS),
            autocompletion=lambda incomplete: [form for form in _FORMS if form.startswith(incomplete)],
            help="One list of all events or tags (events.tsv, tags.tsv), or one file per clip.",
        ),
    ],
    out: o.Out,
    settings: o.DatasetSettings = None,
    whole: Annotated[
        bool, typer.Option("--whole", help="Where times are unknown, write a clip's tags as events over its whole length.")
    ] = False,
    spreadsheet: Annotated[
        bool, typer.Option("--spreadsheet", help="In a list, put an apostrophe before what a spreadsheet would take for a formula.")
    ] = False,
) -> None:
    """Write a dataset's labels, with their weights, in another form; clips of unknown labels (events: times) are left out and counted."""
    if to not in _FORMS:
        raise typer.BadParameter(f"{to!r} is not one of {', '.join(_FORMS)}", param_hint="--to")
    from dcasekit.annotations import annotation_formats, events_to_tags, write_annotation, write_events, write_tag_list
    from dcasekit.core.files import place

    source = _cli_leaves.dataset(name, data, settings=settings)
    read = [_over_all(clip) for clip in source.clips] if whole and to != "tags" else source.clips
    clips = [clip for clip in read if clip.events is not None or (to == "tags" and clip.tags is not None)]
    if not clips:
        lacking = "tags" if to == "tags" else "events with times (--whole: its tags over its whole length)"
        raise DatasetError(f"no clip of {source.name} has {lacking} to convert")
    if to == "events":
        listed = {_relative(clip.path, data): clip.events or () for clip in clips}
        write_events(place(out, "events.tsv", kind="labels"), listed, spreadsheet=spreadsheet)
    elif to == "tags":
        tags = {_relative(clip.path, data): events_to_tags(clip.events or ()) if clip.tags is None else clip.tags for clip in clips}
        write_tag_list(place(out, "tags.tsv", kind="labels"), tags, spreadsheet=spreadsheet)
    else:
        ending = annotation_formats()[to]
        for clip in clips:
            write_annotation(place(out, f"{clip.id}{ending}", kind="labels"), clip.events or (), format=to, duration=clip.duration)
    text(f"labels of {len(clips)} clips are now in {out}; {len(source.clips) - len(clips)} clips without labels were left out")


@datasets.command(epilog=examples("dcasekit datasets download esc50 --data data/ESC-50"))
def download(
    name: o.DatasetArgument,
    data: o.Data,
    settings: o.DatasetSettings = None,
    force: Annotated[bool, typer.Option("--force", help="Fetch again what is there.")] = False,
    quiet: o.Quiet = False,
) -> None:
    """Fetch, verify and unpack a dataset; if interrupted, run it again to continue."""
    dataset = _cli_leaves.dataset(name, data, settings=settings, exists=False)
    done = dataset.download(force=force, progress=bars(quiet))
    text(f"{dataset.name} {'is now' if done else 'was already'} in {data}")
    text(f"licence: {dataset.licence}\nplease cite: {dataset.citation}")


@datasets.command(epilog=examples("dcasekit datasets validate esc50 --data data/ESC-50"))
def validate(
    name: o.DatasetArgument,
    data: o.Data,
    settings: o.DatasetSettings = None,
    headers: Annotated[bool, typer.Option("--headers", help="Read headers only: thousands of files a second.")] = False,
    jobs: o.Jobs = None,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Check that every file is there, can be read, is neither silent nor a duplicate, and holds its events; exit code 1 if not.

    Of a folder also: which recordings are left out, and labels in two spellings, without a letter, or in one clip alone.

    JSON: an object dataset, clips, problems; a problem has kind (missing, unreadable, truncated, silent, duplicate, extra, late, left out,
    label, labels), path, detail.
    """
    dataset = _cli_leaves.dataset(name, data, settings=settings)
    problems = dataset.validate(content=not headers, jobs=jobs, progress=bars(quiet))
    clips = 0 if any(problem.kind == "labels" for problem in problems) else len(dataset.clips)
    rows = [{"kind": problem.kind, "path": problem.path, "detail": problem.detail} for problem in problems]
    if as_json:
        document({"dataset": dataset.name, "clips": clips, "problems": rows})
    elif rows:
        table(tuple(rows[0]), [tuple(row.values()) for row in rows])
    else:
        text(f"{dataset.name}: {clips} clips, no problems")
    if rows:
        raise typer.Exit(1)


def _over_all(clip: "Clip") -> "Clip":
    """Let the tags of a clip whose times are unknown sound all along."""
    if clip.events is not None or clip.tags is None:
        return clip
    from dcasekit import audio
    from dcasekit.annotations import Event

    duration = audio.info(clip.path).duration if clip.duration is None else clip.duration
    events = tuple(Event(0.0, duration, label, value) for label, value in clip.tags.items() if value)
    return replace(clip, events=events, duration=duration)


def _tabulate_labels(clips: Sequence["Clip"], root: Path) -> list[tuple[str, ...]]:
    """Return clips and their labels as the rows of a list that reads back; a label of value 0 is none."""
    known = [
        ((clip.id, _relative(clip.path, root), clip.group), {label: value for label, value in (clip.tags or {}).items() if value != 0})
        for clip in clips
    ]
    if all(value == 1 and not set(label) & set(",;|") for _, tags in known for label, value in tags.items()):
        return [("clip", "filename", "group", "labels"), *((*about, ",".join(tags)) for about, tags in known)]
    rows: list[tuple[str, ...]] = [("clip", "filename", "group", "label", "value")]
    for about, tags in known:
        values = [(label, "unknown" if value is None else repr(float(value))) for label, value in tags.items()]
        rows += [(*about, *pair) for pair in values or [("", "")]]
    return rows


def _relative(path: Path, root: Path) -> str:
    """Name a file as seen from the dataset's folder, where it lies in it."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
