"""What someone meets who tries the commands for the first time, from nothing, with recordings of his own."""

import numpy as np
import pytest
from typer.testing import CliRunner

from dcasekit import audio, cli
from dcasekit.core import discover

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """A folder of one's own: two labels, parted for training and testing."""
    root, rng = tmp_path_factory.mktemp("mine"), np.random.default_rng(0)
    for fold in ("train", "test"):
        for label in ("dog", "rain"):
            audio.write(root / fold / label / f"{fold} {label}.wav", rng.normal(0, 0.1, 4000).astype(np.float32), 8000)
    return root


@pytest.mark.parametrize("name", discover.names("models"))
def test_every_listed_model_trains_without_settings(name, recordings, tmp_path):
    arguments = ["train", "--dataset", "folder", "--data", recordings, "--model", name, "--epochs", 1, "--out", tmp_path / "run"]
    result = CliRunner().invoke(cli.app, list(map(str, arguments)))
    assert result.exit_code == 0, (result.output, result.exception)
    assert (tmp_path / "run" / "model" / "model.json").is_file()
    assert (tmp_path / "run" / "report.html").is_file()


def run(*arguments, code=0):
    """Run a command; give what it says."""
    result = CliRunner().invoke(cli.app, list(map(str, arguments)), env={"COLUMNS": "300"})
    assert result.exit_code == code, (result.output, result.exception)
    return " ".join(result.output.split())


def recording(path, samples=4000):
    audio.write(path, np.random.default_rng(0).normal(0, 0.1, samples).astype(np.float32), 8000)
    return path


@pytest.mark.parametrize("name", ["../c.wav", "/c.wav", "C:\\c.wav"])
def test_a_list_that_names_a_file_outside_the_folder_is_a_problem_line(name, tmp_path):
    recording(tmp_path / "mine" / "a.wav")
    (tmp_path / "mine" / "labels.csv").write_text(f"filename,label\na.wav,dog\n{name},dog\n")
    said = run("datasets", "validate", "folder", "--data", tmp_path / "mine", code=1)
    assert "labels" in said
    assert "which does not lie in" in said
    assert '"kind": "labels"' in run("datasets", "validate", "folder", "--data", tmp_path / "mine", "--json", code=1)


def test_advice_is_given_once(tmp_path):
    recording(tmp_path / "a.wav")
    (tmp_path / "a.tsv").write_text("onset\toffset\tlabel\n2\t1\tdog\n")
    said = run("datasets", "info", "folder", "--data", tmp_path, code=1)
    assert said.count("the file") == said.count("correct the file") == 1


def test_scores_of_a_training_run_say_how_other_metrics_are_had(tmp_path):
    for fold in ("train", "test"):
        recording(tmp_path / "mine" / fold / f"{fold}.wav", 16000)
        (tmp_path / "mine" / fold / f"{fold}.txt").write_text("0.5\t1.0\tdog\n")
    mine = ["--dataset", "folder", "--data", tmp_path / "mine"]
    said = run("train", *mine, "--model", "mlp", "--epochs", 1, "--out", tmp_path / "run", "--scores", tmp_path / "scores")
    command = said.partition("dcasekit score ")[2].partition(" --partial")[0]
    run("datasets", "convert", "folder", "--data", tmp_path / "mine", "--to", "events", "--out", tmp_path / "labels")
    arguments = command.replace("EVENTS", str(tmp_path / "labels" / "events.tsv")).split()
    assert "psds2" in run("score", *arguments, "--partial")
    assert "score the clips that both have (--partial" in run("score", *arguments, code=1)


def test_a_table_of_scores_has_no_column_for_intervals_that_were_not_asked_for(tmp_path):
    (tmp_path / "a.tsv").write_text("filename\tonset\toffset\tevent_label\na.wav\t0\t1\tdog\nb.wav\t0\t1\tdog\n")
    arguments = ["score", "--reference", tmp_path / "a.tsv", "--estimate", tmp_path / "a.tsv", "--metric", "event_f1"]
    assert "interval" not in run(*arguments)
    assert "interval" in run(*arguments, "--bootstrap", 10)


def test_what_cannot_be_fetched_is_not_told_to_be(tmp_path):
    assert "download" not in run("datasets", "stats", "folder", "--data", tmp_path / "none", code=1)
    assert "datasets download esc50" in run("datasets", "stats", "esc50", "--data", tmp_path / "none", code=1)


def test_a_folder_without_a_model_is_told_what_to_be(tmp_path):
    assert "give the folder that a model was saved in" in run("predict", "a.wav", "--model", tmp_path, code=1)


def test_a_duration_is_not_told_to_be_called_offset(tmp_path):
    recording(tmp_path / "a.wav")
    (tmp_path / "a.tsv").write_text("onset\tduration\tlabel\n0\t1\tdog\n")
    assert "add a column 'offset', onset + duration" in run("datasets", "stats", "folder", "--data", tmp_path, code=1)


def test_a_list_that_is_not_there_is_not_told_to_be_of_another_encoding(tmp_path):
    said = run("score", "--reference", tmp_path / "none.tsv", "--estimate", tmp_path / "none.tsv", code=1)
    assert "none.tsv does not exist; check how it is spelled" in said
    assert "UTF-8" not in said
