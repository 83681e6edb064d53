"""The command ``watch``: a model listens to a microphone, a pipe, or a file that grows."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from dcasekit.cli import models as _cli_models
from dcasekit.cli import options as o
from dcasekit.cli import output as _cli_output
from dcasekit.core.tables import visible

if TYPE_CHECKING:
    from rich.table import Table

    from dcasekit.cli.watching import Now, Watcher


def watch(  # noqa: PLR0913 - options of a command
    *,
    source: Annotated[
        str,
        typer.Argument(
            metavar="-|FILE|mic[:DEVICE]", help="Standard input, a wav or raw file that grows, or a microphone.", show_default=False
        ),
    ],
    model: o.ModelFolder,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help=("Table of events to append to; a growing file is continued where it ended."))
    ] = None,
    sr: Annotated[int | None, typer.Option(min=1, help="Hz of raw samples.  \\[default: the model's]", show_default=False)] = None,
    channels: Annotated[int, typer.Option(min=1, help="Channels of raw samples, interleaved.")] = 1,
    form: Annotated[Literal["s16", "s24", "s32", "f32"], typer.Option("--format", help="Format of raw samples, little-endian.")] = "s16",
    threshold: Annotated[
        str | None,
        typer.Option(
            metavar="SCORE|LABEL=SCORE,...|FILE",
            help=("Score above which an event is there, as for predict.  \\[default: 0.5]"),
            show_default=False,
        ),
    ] = None,
    min_duration: Annotated[float, typer.Option(metavar="SECONDS", min=0, help="Leave out events shorter than this, in seconds.")] = 0.0,
    budget: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Warn where scores come later than this, in seconds.", show_default=False)
    ] = None,
    idle: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="End when a file has not grown for so long.  \\[default: never]")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps, or auto, the fastest there is.")] = "cpu",
    allow: o.Allow = None,
    quiet: o.Quiet = False,
) -> None:
    """Detect events in a live recording: print each as it ends, and show level and best labels in a terminal.

    The scores are those of the whole recording. Killed, or interrupted, and begun again with the same --out, a file is gone on with where
    it was: no event is written twice, none is lost. How late answers come, because of the model's windows and its computing, is told at
    the end.

    TSV: onset, offset, event_label, score, in seconds since the beginning.
    """
    import math

    from dcasekit.cli import watching
    from dcasekit.cli.prediction import choose_threshold
    from dcasekit.containers.streaming import move, need_stream

    container = _cli_models.load_model(model, allow)
    features = need_stream(container)
    move(container, device)
    path = Path(source)
    is_mic = source == "mic" or source.startswith("mic:")
    pcm = watching.Pcm(sr or features.sr, channels, form)
    if source != "-" and not is_mic:
        pcm = watching.read_head(path) or pcm
    _cli_output.tsv(("onset", "offset", "event_label", "score"), [])
    watcher = watching.Watcher(
        container,
        pcm.sr,
        choose_threshold(threshold, container),
        min_duration,
        out,
        math.inf if budget is None else budget,
        lambda cells: _cli_output.tsv((), [cells], header=False),
    )
    first = watcher.resume(str(path.absolute()) if not is_mic and source != "-" else source)
    if source == "-":
        chunks = watching.from_pipe(sys.stdin.fileno(), pcm)
    elif is_mic:
        chunks = watching.from_microphone(source.partition(":")[2], pcm)
    else:
        chunks = watching.from_file(path, pcm, first, idle=idle)
    try:
        with _display(shown=_cli_output.bars(quiet)) as show:
            _show_all(watcher.run(chunks), show)
    finally:
        _tell_latency(watcher)


def _show_all(moments: "Iterable[Now]", show: "Callable[[Now], None]") -> None:
    for now in moments:
        show(now)


def _tell_latency(watcher: "Watcher") -> None:
    if watcher.latency(0.5) == watcher.latency(0.5):
        half, nearly = watcher.latency(0.5), watcher.latency(0.99)
        _cli_output.note(f"half of the scores came within {half:.2f} s of the sound, 99 % within {nearly:.2f} s")
    if watcher.late:
        _cli_output.note(f"{watcher.late} scores came later than {watcher.budget:g} s; shorter windows or steps, or a faster device, help")


@contextmanager
def _display(*, shown: bool) -> "Iterator[Callable[[Now], None]]":
    if not shown:
        yield lambda now: None  # noqa: ARG005 - nobody looks
        return
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(stderr=True), refresh_per_second=8, transient=True) as live:
        yield lambda now: live.update(_picture(now))


def _picture(now: "Now") -> "Table":
    """Draw level, best labels, and what is going on."""
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    filled = round(max(0.0, min(1.0, 1 + now.level / 60)) * 30)
    meter = Text("#" * filled + "." * (30 - filled), style="red" if now.peak > -0.1 else "green")
    grid.add_row(Text(f"{now.seconds:8.1f} s"), meter, Text(f"{now.level:6.1f} dB, peak {now.peak:.1f}"))
    for label, score in sorted(now.scores.items(), key=lambda found: -found[1])[:3]:
        since = f"since {now.going_on[label]:.1f} s" if label in now.going_on else ""
        grid.add_row(Text(f"{score:8.2f}"), Text(visible(label)), Text(since))
    grid.add_row(Text("answered"), Text(f"{now.latency:.2f} s after the sound"))
    return grid
