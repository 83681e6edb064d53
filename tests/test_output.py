"""What the command line prints: nothing in a file's name or label commands the terminal, and tables read back."""

import logging
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from dcasekit import audio, cli
from dcasekit.annotations import Event, read_events, write_events
from dcasekit.cli import output
from dcasekit.core.files import read_rows
from dcasekit.errors import AnnotationError

HOSTILE = "dog\x1b[2J\x9b\u202e\x07\udc80"


@pytest.mark.parametrize(
    "show",
    [
        lambda: output.table((HOSTILE, "n"), [(HOSTILE, 1)]),
        lambda: output.card({HOSTILE[:3]: HOSTILE, "list": [HOSTILE], "counts": {HOSTILE: 1}}),
        lambda: output.text(HOSTILE),
        lambda: output.note(HOSTILE),
        lambda: output.document({HOSTILE: HOSTILE}),
        lambda: output.show_error(AnnotationError(f"{HOSTILE}\nsecond line")),
        lambda: logging.getLogger("dcasekit.test").warning("%s", HOSTILE),
    ],
    ids=["table", "card", "text", "note", "document", "error", "warning"],
)
def test_nothing_printed_commands_the_terminal(capsys, monkeypatch, show):
    output.show_warnings()
    monkeypatch.setattr(logging.getLogger("dcasekit"), "propagate", False)  # pytest-xdist cannot send the record as it is
    show()
    shown = "".join(capsys.readouterr())
    assert "dog" in shown
    assert not set(shown) & {"\x1b", "\x9b", "\u202e", "\x07", "\udc80"}


def test_markup_in_names_is_text(capsys):
    output.table(("[bold]label[/bold]",), [("[red]dog",)])
    output.card({"[b]name": "[link=http://x]dog"})
    shown = capsys.readouterr().out
    assert all(text in shown for text in ("[bold]label[/bold]", "[red]dog", "[b]name", "[link=http://x]dog"))


def test_a_table_for_a_file_reads_back_and_one_for_a_terminal_is_safe(tmp_path, capsys, monkeypatch):
    row = ["a\tb.wav", 'say "hi"\nthere', "dog\x1b[2J"]
    output.tsv(("file", "label", "other"), [row])
    (tmp_path / "a.tsv").write_text(capsys.readouterr().out)
    assert [cells for _, cells in read_rows(tmp_path / "a.tsv", error=AnnotationError)] == [["file", "label", "other"], row]
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    output.tsv(("file", "label", "other"), [row])
    assert capsys.readouterr().out == 'file\tlabel\tother\na b.wav\t"say ""hi"" there"\tdog␛[2J\n'


def test_a_folder_with_a_hostile_name_is_described_and_read_back(tmp_path):
    for label in ("cat", "dog\x1b[2J"):
        for number in range(2):
            audio.write(tmp_path / "data" / label / f"{number}.wav", np.zeros(100, np.float32), 8000)
    shown = CliRunner().invoke(cli.app, ["datasets", "stats", "folder", "--data", str(tmp_path / "data")])
    assert "dog" in shown.output
    assert "\x1b[2J" not in shown.output


def test_predicted_events_printed_with_their_scores_are_an_event_list(tmp_path, capsys):
    columns = ("filename", "onset", "offset", "event_label", "score")
    output.tsv(columns, [("a.wav", "0", "1", "dog", "0.5"), ("b.wav", "", "", "", "")])
    (tmp_path / "found.tsv").write_text(capsys.readouterr().out)
    assert read_events(tmp_path / "found.tsv") == {"a.wav": [Event(0, 1, "dog", 0.5)], "b.wav": []}
    assert read_events(write_events(tmp_path / "again.tsv", read_events(tmp_path / "found.tsv"))) == read_events(tmp_path / "found.tsv")


def test_a_terminal_behind_a_progress_bar_is_a_terminal(monkeypatch, capsys):
    """Before Rich 15, what stands in for standard output beside a bar says nothing of a terminal."""
    terminal = SimpleNamespace(isatty=lambda: True)
    monkeypatch.setattr(sys.stdout, "rich_proxied_file", terminal, raising=False)
    output.tsv(["label"], [["\x1b]0;evil"]])
    assert "\x1b" not in capsys.readouterr().out
