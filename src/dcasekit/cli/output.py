"""What the command line says: documents and tables on standard output, everything else on standard error."""

import errno
import json
import logging
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text
from typer.core import TyperGroup

from dcasekit.core.processes import is_first
from dcasekit.core.tables import Table, visible
from dcasekit.errors import DcasekitError, StorageError

if TYPE_CHECKING:
    from dcasekit.report import Report, Section

DEBUG = "--debug"


def examples(*lines: str) -> str:
    """Make the epilog of a command's help; a blank line is how Rich keeps them apart."""
    return "\n\n".join(["[bold]Examples[/bold]", *(f"$ {line}" for line in lines)])


class Root(TyperGroup):
    """The command's top: errors become one line and an exit code, unless they are to be debugged."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Let ``--debug`` stand anywhere: it is added to the end of a command that failed."""
        rest = [arg for arg in args if arg != DEBUG]
        return super().parse_args(ctx, [DEBUG, *rest] if len(rest) < len(args) else args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command: exit code 1 for an error of ours, of the disk, or a missing package; 130 for Ctrl-C."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.echo("interrupted; run the same command again to continue", err=True)
            raise typer.Exit(130) from None
        except (DcasekitError, OSError, ModuleNotFoundError) as error:
            if ctx.params["debug"] or isinstance(error, BrokenPipeError):
                raise
            if isinstance(error, OSError) and error.errno == errno.ENOSPC and error.filename is None:
                error = StorageError("cannot write to standard output: the disk is full; free some space, or redirect the output elsewhere")
            show_error(error)
            raise typer.Exit(1) from error
        except Exception as error:
            if isinstance(text := getattr(error, "message", None), str):  # of a wrong use; it repeats what was typed
                vars(error)["message"] = visible(text)
            raise


class _Handler(logging.Handler):
    """Write log records to whatever standard error is now: a progress bar stays below them."""

    def emit(self, record: logging.LogRecord) -> None:
        typer.echo(visible(f"{record.levelname.lower()}: {record.getMessage()}"), err=True)


def show_warnings() -> None:
    """Show the library's warnings on standard error."""
    logger = logging.getLogger("dcasekit")
    if not any(isinstance(handler, _Handler) for handler in logger.handlers):
        logger.addHandler(_Handler())


def show_error(error: Exception) -> None:
    """Print an error as one line; nothing in it, such as a file's name, commands the terminal."""
    typer.echo(visible(f"error: {error}"), err=True)


def bars(quiet: bool) -> bool:
    """Whether to show progress bars."""
    return not quiet and is_first() and sys.stderr.isatty()


def document(content: Any) -> None:
    """Print one JSON document."""
    typer.echo(json.dumps(content, indent=2, allow_nan=False))


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table, its cells folded where the terminal is narrow."""
    found = Table(columns, list(rows))
    shown = RichTable(box=None, header_style="bold", pad_edge=False)
    for column, numeric in zip(found.columns, found.numeric, strict=True):
        shown.add_column(Text(visible(column)), justify="right" if numeric else "left", overflow="fold")
    for row in found.cells:
        shown.add_row(*map(Text, row))
    Console().print(shown)


def card(facts: Mapping[str, Any]) -> None:
    """Print facts, one to a line."""
    grid = RichTable.grid(padding=(0, 2))
    for name, value in facts.items():
        grid.add_row(Text(name, style="bold"), Text(visible(_line(value))))
    Console().print(grid)


def tsv(columns: Sequence[str], rows: Iterable[Sequence[str]], *, header: bool = True) -> None:
    """Print tab-separated values, the header first: on a terminal what is safe to show, else what is read back as it is."""
    from dcasekit.core.files import format_rows

    table = [*([list(columns)] if header else []), *map(list, rows)]
    terminal = getattr(
        sys.stdout, "rich_proxied_file", sys.stdout
    )  # what stands in for it beside a bar knows of no terminal before Rich 15
    shown = format_rows([[visible(cell) for cell in row] for row in table] if terminal.isatty() else table)
    # As bytes: the names of files need not be text, and are to be found again.
    typer.echo(shown.encode("utf-8", "surrogateescape"), nl=False, color=True)


def text(line: str) -> None:
    """Print plain text, line by line; nothing in it commands the terminal."""
    typer.echo("\n".join(map(visible, line.split("\n"))))


def note(line: str) -> None:
    """Say on standard error what a file that was written does not hold, or what begins."""
    typer.echo(visible(f"note: {line}"), err=True)


def results_of(report: "Report", *, as_json: bool, page: Path | None = None, model: Path | None = None) -> None:
    """Print a run's main numbers and where the rest is; of several processes that torchrun started the first does.

    Parameters
    ----------
    page, model : the HTML report and the folder of the model, if they were saved.
    """
    if not is_first():
        return
    files = {name: str(path) for name, path in (("report", page), ("model", model)) if path is not None}
    headlines = [_headline(section) for section in report.sections]
    if as_json:
        document({"title": report.title, "sections": headlines, **files})
        return
    rows = [
        (one["name"], name, _decimal(each["value"]), " to ".join(dict.fromkeys(map(_decimal, each["interval_95"]))), one["clips"])
        for one in headlines
        for name, each in one["measures"].items()
    ]
    table(("", "number", "value", "95 % interval", "clips"), rows)
    for name, path in files.items():
        text(f"{name}: {path}")


def _headline(section: "Section") -> dict[str, Any]:
    from dcasekit.results import plain

    measures = {name: {"value": one.value, "interval_95": one.interval} for name, one in section.measured.items()}
    headline = {"number": section.headline, **measures[section.headline]}
    counts = {"clips": len(section.pooled.clips), "folds": list(section.folds)}
    return dict(plain({"name": section.name, **headline, **counts, "measures": measures}))


def _decimal(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _line(value: Any) -> str:
    if isinstance(value, Mapping):
        value = [f"{key} {count}" for key, count in value.items()]
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
