"""The command ``predict``: recordings answered by a model, printed, or written into a folder."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from dcasekit.cli import models as _cli_models
from dcasekit.cli import options as o
from dcasekit.cli import output as _cli_output
from dcasekit.errors import ModelError

if TYPE_CHECKING:
    from dcasekit.cli.recordings import Recording
    from dcasekit.containers.base import ModelContainer
    from dcasekit.scores.running import Finding

# Recordings of a shard; with fewer in all, each process gets several shards.
_SHARD = 1000
# Bytes of recordings that are worth a process of their own.
_WORTH = 256 << 20


def predict(  # noqa: PLR0913 - options of a command
    *,
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE|DIR", help="Audio files, and folders with all in them.", show_default=False)
    ] = None,
    model: o.ModelFolder,
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Folder for the results; without it they are printed.")] = None,
    write: Annotated[
        str | None,
        typer.Option(
            metavar="KIND,...",
            help="What to write there: events, labels, windows (tables of all files), audacity, elan, jams, raven, scores (a file each), "
            "parquet (the tables, too).  \\[default: windows, and events or labels as the task is]",
            show_default=False,
        ),
    ] = None,
    lists: Annotated[list[Path] | None, typer.Option("--list", metavar="FILE", help="Text file with a path on each line.")] = None,
    pattern: Annotated[
        str | None, typer.Option(metavar="GLOB", help="Which files of folders: '*.wav', '2024-*/*.flac'.  \\[default: all audio files]")
    ] = None,
    form: Annotated[
        Literal["table", "tsv", "json"] | None,
        typer.Option("--format", help="How to print.  \\[default: tsv for events, table for labels]", show_default=False),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Labels per file.")] = 3,
    threshold: Annotated[
        str | None,
        typer.Option(
            metavar="SCORE|LABEL=SCORE,...|FILE",
            help="Score above which an event is there: for all labels, for some, or a JSON file of label to score.  "
            "\\[default: those the model was calibrated with, else 0.5]",
            show_default=False,
        ),
    ] = None,
    precision: Annotated[
        float | None,
        typer.Option(help="Take the thresholds that the model's calibration chose for this precision, such as 0.9.", show_default=False),
    ] = None,
    post: Annotated[
        Literal["median", "csebbs"] | None,
        typer.Option(help="Smoothing before the threshold: a median filter of --median seconds, or bounding boxes by change detection."),
    ] = None,
    median: Annotated[float, typer.Option(metavar="SECONDS", help="Length of the median filter.")] = 0.5,
    min_duration: Annotated[float, typer.Option(metavar="SECONDS", min=0, help="Leave out events shorter than this, in seconds.")] = 0.0,
    events: Annotated[
        bool | None,
        typer.Option(
            "--events/--labels", help="Print events with times, or labels of files.  \\[default: follows the task]", show_default=False
        ),
    ] = None,
    plot: Annotated[
        Literal["png", "svg"] | None,
        typer.Option(help="Draw each recording into the folder's plots: spectrogram, scores and events.", show_default=False),
    ] = None,
    clips: Annotated[int, typer.Option(metavar="N", min=0, help="Cut out the N most confident events of each label as audio files.")] = 0,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Processes, with --out.  \\[default: as many as are worth it]", show_default=False)
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps, or auto, the fastest there is.")] = "auto",
    backend: o.Backend = "processes",
    address: o.Address = None,
    allow: o.Allow = None,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Predict labels, or events with their times, for recordings of any length.

    Without --out results are printed as they come. With it they are written there: if interrupted, run it again to continue, and with more
    files it processes the new ones. A file that cannot be read is named on standard error, the others go on; the exit code is then 1.

    TSV: filename, label, score; of events filename, onset, offset, event_label (empty: no event in the file). JSON: a list of objects
    file and labels (label, score) or events (onset, offset, label, score) or error; with --out an object folder, files, failed, hours,
    labels (label to events, seconds).
    """
    from dcasekit.cli import recordings as listing
    from dcasekit.containers.streaming import move
    from dcasekit.scores.running import Finding

    if not files and not lists:
        raise typer.BadParameter("give files, folders, or --list", param_hint="FILE|DIR")
    container = _cli_models.load_model(model, allow)
    limits = choose_threshold(threshold, container, precision=precision)
    finding = Finding(threshold=limits, post=post, seconds=median, min_duration=min_duration)
    found = listing.find(files or (), lists or (), pattern=pattern)
    events = container.task == "detection" if events is None else events
    if out is None:
        from dcasekit.cli import answers as work

        move(container, device)
        names = [Path(each.name) for each in found]
        answers = work.answers(container, names, finding=finding if events else None, top=top, progress=_cli_output.bars(quiet))
        if work.show(answers, "json" if as_json else form or ("tsv" if events else "table"), events=events):
            raise typer.Exit(1)
        return
    options = {"write": write, "plot": plot, "top": top, "device": device, "allow": allow, "clips": clips, "events": events}
    run = _Run(container, model, out, finding, options)
    if run.answer(found, jobs=jobs, backend=backend, address=address, progress=_cli_output.bars(quiet), as_json=as_json):
        raise typer.Exit(1)


def choose_threshold(text: str | None, model: "ModelContainer", *, precision: float | None = None) -> float | dict[str, float]:
    """Return the thresholds that are asked for: as text, for a precision, else those of the model's calibration, if it has one."""
    if text is not None and precision is not None:
        raise typer.BadParameter("give --threshold or --precision, not both", param_hint="--threshold")
    if text is None and model.calibration is not None:
        limits = model.calibration.limits(model.labels, precision=precision)
        if never := [label for label, limit in limits.items() if limit == math.inf]:
            _cli_output.note(f"no threshold reaches this precision for: {', '.join(never)}")
        return limits
    if precision is not None:
        raise ModelError("this model has no thresholds for a precision; calibrate it on validation data: model.calibrate(validation)")
    return read_threshold(text, model.labels)


def read_threshold(text: str | None, labels: Sequence[str]) -> float | dict[str, float]:
    """Read thresholds: a number, ``label=number,...`` (0.5 for the others), or a JSON file of label to number."""
    if text is None:
        return 0.5
    try:
        return _finite(text)
    except ValueError:
        pass
    try:
        if "=" in text and not Path(text).exists():
            given = {label.strip(): _finite(number) for label, _, number in (part.rpartition("=") for part in text.split(","))}
        else:
            given = {str(label): _finite(number) for label, number in json.loads(Path(text).read_text(encoding="utf-8")).items()}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise typer.BadParameter(
            f"expected a number, label=number,... or a JSON file of label to number; got {text!r} ({error})", param_hint="--threshold"
        ) from error
    if unknown := [label for label in given if label not in labels]:
        told = f"the model knows no label {unknown[0]!r}; its labels are: {', '.join(labels)}"
        raise typer.BadParameter(told, param_hint="--threshold")
    return {label: given.get(label, 0.5) for label in labels}


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{value} is not finite")
    return number


class _Run:
    """Answers in a folder."""

    def __init__(self, model: "ModelContainer", folder: Path, out: Path, finding: "Finding", options: Mapping[str, Any]) -> None:
        from dcasekit.cli.collection import Job
        from dcasekit.cli.outputs import PARQUET, Outputs, kinds
        from dcasekit.containers.streaming import move
        from dcasekit.core.frames import need_pyarrow

        self._out, self._clips = out, options["clips"]
        default = "events,windows" if options["events"] else "labels,windows"
        chosen = [kind.strip() for kind in (options["write"] or default).split(",") if kind.strip()]
        chosen += [options["plot"]] if options["plot"] else []
        chosen += ["events"] * (self._clips > 0 and "events" not in chosen)
        if unknown := [kind for kind in chosen if kind not in kinds()]:
            raise typer.BadParameter(f"cannot write {unknown[0]!r}; known: {', '.join(kinds())}", param_hint="--write")
        self._parquet = PARQUET in chosen
        if self._parquet:
            need_pyarrow()
        if model.features is None:
            raise typer.BadParameter(
                "this model was trained on arrays and has no front end, so it cannot take recordings; train it on a dataset",
                param_hint="--model",
            )
        self._outputs = Outputs(
            kinds=tuple(dict.fromkeys(kind for kind in chosen if kind != PARQUET)),
            finding=finding,
            top=options["top"],
            how="max" if model.task == "detection" else "mean",
            step=model.features.sequence_hop,
            frame=model.features.audio_hop / model.features.sr,
        )
        self._folder = folder
        device = move(model, options["device"])
        self._job = Job(out=str(out), model=str(folder), allow=tuple(options["allow"] or ()), device=device, outputs=self._outputs)

    def answer(
        self, recordings: "Sequence[Recording]", *, jobs: int | None, backend: Any, address: str | None, progress: bool, as_json: bool
    ) -> bool:
        """Answer recordings and say what was found; return whether any could not be answered."""
        from dcasekit.cli import collection, summing
        from dcasekit.core.parallel import map_clips, usable_cores

        local = backend in ("processes", "threads")
        total = sum(each.size for each in recordings)
        worth = 1 if self._job.device != "cpu" else min(usable_cores(), len(recordings), max(1, total // _WORTH))
        jobs = jobs or (worth if local else usable_cores())
        most = max(1, min(_SHARD, len(recordings) // (4 * jobs) if jobs > 1 else _SHARD))
        begun = collection.claim(self._out, {**self._settings(), "shard": most})
        mapper = partial(map_clips, jobs=jobs, backend=backend, address=address, batch=1)
        with _bar(total, shown=progress) as tell:
            records = collection.answer(
                recordings, self._job, most=begun["shard"], mapper=None if local and jobs == 1 else mapper, tell=tell
            )
        changed = [each for each, record in zip(recordings, records, strict=True) if record["changed"] != each.changed]
        if changed:
            _cli_output.note(f"{len(changed)} files have changed since their prediction, such as {changed[0].name}; give another --out")
        if self._parquet:
            summing.write_parquet(self._out, self._outputs.tables)
        if self._clips:
            summing.cut_clips(self._out, self._clips)
        return summing.show(self._out, records, as_json=as_json)

    def _settings(self) -> dict[str, Any]:
        """Return what determines the answers."""
        from dcasekit.containers import trained
        from dcasekit.core.files import hash_file
        from dcasekit.results import plain

        finding = self._outputs.finding
        return dict(
            plain(
                {
                    "model": hash_file(trained.find(self._folder) / "model.json"),
                    "write": list(self._outputs.kinds),
                    "threshold": finding.threshold,
                    "post": finding.post,
                    "median": finding.seconds if finding.post == "median" else None,
                    "min_duration": finding.min_duration,
                    "top": self._outputs.top,
                }
            )
        )


@contextmanager
def _bar(total: int, *, shown: bool) -> "Iterator[Callable[[int], None]]":
    """Show how much is done, in bytes of recordings, how fast it goes, and how long it will take."""
    if not shown:
        yield lambda done: None  # noqa: ARG005 - nobody looks
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (TextColumn("Predicting"), BarColumn(), DownloadColumn(), TimeElapsedColumn(), TextColumn("left:"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=total)
        yield lambda done: progress.advance(task, done)
