"""Law: whatever labels, names of files and options hold, no command lets it command the terminal; its files read back."""

import io
import sys

import numpy as np
import pytest

from dcasekit import audio, cli
from dcasekit.annotations import Event, read_tag_list, write_events
from dcasekit.core.files import read_rows
from dcasekit.errors import AnnotationError
from dcasekit.scores import read_scores

EVIL = "\x1b]0;evil\x07\x9b2J\u202e\x1b[2J\x1b[41m"
LABELS = [f"dog{EVIL}", f"[red]cat|*<evil>{EVIL}"]
SMALL = ["-F", "sr=8000", "-F", "audio_win=256", "-F", "audio_hop=200", "-F", "mel.bands=8", "-F", "sequence_time=0.5"]
MLP = ["--model", "mlp", *SMALL, "-M", "hidden_layers_size=[4]", "-M", "dropout_rates=[0]", "-T", "epochs=1", "-T", "device=cpu"]


class Terminal(io.TextIOWrapper):
    """What was written to a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def shown(monkeypatch):
    """Run a command as in a terminal; give its exit code and all that it wrote there, without the colours of our own tables and bars."""

    def run(*args):
        streams = {
            name: Terminal(io.BytesIO(), encoding="utf-8", errors="surrogateescape", write_through=True) for name in ("stdout", "stderr")
        }
        with monkeypatch.context() as patch:
            for name, stream in streams.items():
                patch.setattr(sys, name, stream)
            patch.setenv("TERM", "xterm")
            patch.setenv("COLUMNS", "200")
            with pytest.raises(SystemExit) as end:
                cli.app([str(arg) for arg in args], prog_name="dcasekit")
        text = "".join(stream.buffer.getvalue().decode("utf-8", "surrogateescape") for stream in streams.values())
        assert "Traceback" not in text, text
        return end.value.code, text

    return run


def check(text):
    assert "evil" in text, text
    for wrong in ("\x1b]", "\x07", "\x9b", "\u202e", "\x1b[2J", "\x1b[41m", "\udcff"):
        assert wrong not in text, text


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Recordings in folders with hostile names, and the same as lists of events."""
    folder = tmp_path_factory.mktemp("world")
    for label in LABELS:
        for number in range(10):
            rng = np.random.default_rng(number)
            audio.write(folder / "data" / label / f"{number}{EVIL}.wav", rng.normal(0, 0.1, 8000).astype(np.float32), 8000)
    for name, end in (("reference", 1.0), ("estimate", 0.9)):
        write_events(folder / f"{name}{EVIL}.tsv", {f"a{EVIL}.wav": [Event(0, end, label) for label in LABELS]})
    return folder


def test_no_command_lets_names_and_labels_command_the_terminal(world, tmp_path, shown):
    data = ("--data", world / "data")
    given = ("--dataset", "folder", *data)
    run = tmp_path / f"run{EVIL}"
    lists = ["--reference", world / f"reference{EVIL}.tsv", "--estimate", world / f"estimate{EVIL}.tsv"]
    for command in (
        ["datasets", "info", "folder", *data],
        ["datasets", "stats", "folder", *data],
        ["datasets", "split", "folder", *data, "--out", tmp_path / f"split{EVIL}"],
        ["datasets", "convert", "folder", *data, "--to", "tags", "--out", tmp_path / f"tags{EVIL}"],
        ["extract", *given, *SMALL, "--cache", tmp_path / f"cache{EVIL}"],
        ["augment", *given, "-A", "gain:min_db=3,max_db=3", "--cache", tmp_path / f"cache{EVIL}"],
        ["train", *given, *MLP, "--out", run, "--cache", tmp_path / "cache"],
        ["evaluate", "--model", run / "model", *given, "--cache", tmp_path / "cache"],
        *(
            ["predict", *sorted((world / "data").rglob("*.wav"))[:2], "--model", run / "model", "--format", form]
            for form in ("table", "tsv")
        ),
        ["predict", *sorted((world / "data").rglob("*.wav"))[:2], "--model", run / "model", "--events"],
        ["score", *lists, "--html", tmp_path / f"pages{EVIL}" / "page.html"],
        ["models", "info", run / "model"],
    ):
        code, text = shown(*command)
        assert code == 0, text
        check(f"evil{text}")


def test_files_with_hostile_labels_read_back_and_the_report_shows_them_as_text(world, tmp_path, shown):
    data = ("--data", world / "data")
    run, cache = tmp_path / "run", ("--cache", tmp_path / "cache")
    assert shown("datasets", "convert", "folder", *data, "--to", "tags", "--out", tmp_path)[0] == 0
    tags = read_tag_list(tmp_path / "tags.tsv")
    assert sorted({label for found in tags.values() for label in found}) == sorted(LABELS)
    assert shown("datasets", "split", "folder", *data, "--out", tmp_path)[0] == 0
    rows = [cells for _, cells in read_rows(tmp_path / "train.tsv", error=AnnotationError)]
    assert {label for _, _, _, label, _ in rows[1:]} == set(LABELS)
    assert shown("train", "--dataset", "folder", *data, *MLP, "--out", run, *cache, "--scores", run / "scores")[0] == 0
    assert list(read_scores(next((run / "scores").rglob("*.tsv"))).labels) == sorted(LABELS)
    for name in ("report.md", "report.html"):
        check(text := (run / name).read_text())
        assert "<evil>" not in text.replace("\\<evil\\>", "")
        assert "|*<" not in text


@pytest.mark.parametrize(
    "command",
    [
        ["predict", f"{EVIL}.wav", "--model", "{evil}"],
        ["evaluate", "--model", EVIL, "--dataset", "folder", "--data", "."],
        ["extract", "--dataset", f"folder{EVIL}", "--data", "."],
        ["extract", "--dataset", "folder", "--data", f"{EVIL}"],
        ["extract", "--dataset", "folder", "--data", ".", "--feature", EVIL],
        ["extract", "--dataset", "folder", "--data", ".", "-F", f"{EVIL}=1"],
        ["extract", "--dataset", "folder", "--data", ".", "-D", f"labels={EVIL}"],
        ["extract", "--dataset", "folder", "--data", ".", "-F", f"sr={EVIL}"],
        ["augment", "--dataset", "folder", "--data", ".", "-A", f"{EVIL}:a=1"],
        ["augment", "--dataset", "folder", "--data", ".", "-A", f"gain:{EVIL}=1"],
        ["train", "--dataset", "folder", "--data", ".", "--model", EVIL, "--out", "x"],
        ["train", "--dataset", "folder", "--data", ".", "--model", "mlp", "-M", f"{EVIL}=1", "--out", "x"],
        ["train", "--dataset", "folder", "--data", ".", "--model", "mlp", "-T", f"epochs={EVIL}", "--out", "x"],
        ["run", EVIL],
        ["run", "quickstart", "--set", f"epochs={EVIL}"],
        ["models", "info", EVIL],
        ["models", "info", "mlp", "--shape", EVIL],
        ["models", "export", EVIL, "--to", f"{EVIL}.onnx"],
        ["models", "export", EVIL, "--to", EVIL],
        ["datasets", "convert", "folder", "--data", ".", "--to", EVIL, "--out", "x"],
        ["datasets", "split", "folder", "--data", ".", "--balance", EVIL],
        ["datasets", "info", EVIL],
        ["datasets", "download", "folder", "--data", EVIL],
        ["score", "--reference", EVIL, "--estimate", EVIL],
        ["score", "--reference", ".", "--estimate", ".", "--metric", EVIL],
        ["score", "--reference", ".", "--estimate", ".", "--durations", EVIL],
        [EVIL],
        ["extract", f"--{EVIL}"],
        ["features", EVIL],
    ],
    ids=lambda command: " ".join(command).replace(EVIL, "@"),
)
def test_what_is_wrong_is_told_without_commanding_the_terminal(shown, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    code, text = shown(*command)
    assert code in (1, 2), text
    check(f"evil{text}")
