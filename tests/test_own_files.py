"""Commands replace what they wrote before, so that they can be run again, and no file of the user's that is in their way."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from dcasekit import cli, load, testing
from dcasekit.core.files import MARK, check_place, place, placing, write_text
from dcasekit.core.trees import list_tree
from dcasekit.errors import StorageError
from dcasekit.report import Report, environment

SMALL = ["-F", "sr=8000", "-F", "audio_win=256", "-F", "audio_hop=200", "-F", "mel.bands=8", "-F", "sequence_time=0.5"]
MLP = ["--model", "mlp", *SMALL, "-M", "hidden_layers_size=[4]", "-M", "dropout_rates=[0]", "-T", "epochs=1", "-T", "device=cpu"]

REFUSED = "exists and dcasekit did not write it, so it is left as it is; move it, or give another folder"


def run(*args: object) -> tuple[int, str]:
    result = CliRunner().invoke(cli.app, [str(arg) for arg in args])
    return result.exit_code, result.output + result.stderr


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A dataset, lists of events, and a trained model."""
    folder = tmp_path_factory.mktemp("made")
    testing.make_dataset("esc50", folder / "data", clips=20, seconds=0.6, sr=8000)
    for name in ("reference", "estimate"):
        write_text(folder / f"{name}.tsv", "filename\tonset\toffset\tevent_label\na.wav\t0\t1\tdog\n")
    given = ("--dataset", "esc50", "--data", folder / "data")
    assert run("train", *given, *MLP, "--out", folder / "run")[0] == 0
    return folder


def commands(made: Path, out: Path) -> dict[str, list[object]]:
    given = ["--dataset", "esc50", "--data", made / "data"]
    return {
        "train": ["train", *given, *MLP, "--scores", out / "scores", "--out", out],
        "evaluate": ["evaluate", "--model", made / "run" / "model", *given, "--scores", out, "--out", out],
        "score": ["score", "--reference", made / "reference.tsv", "--estimate", made / "estimate.tsv", "--html", out / "page.html"],
        "split": ["datasets", "split", "esc50", "--data", made / "data", "--out", out],
        "convert": ["datasets", "convert", "esc50", "--data", made / "data", "--to", "tags", "--out", out],
        "augment": ["augment", *given, "-A", "gain:min_db=3,max_db=3", "--cache", out],
        "extract": ["extract", *given, *SMALL, "--cache", out],
        "download": ["datasets", "download", "synthetic_sounds", "-D", "clips=5", "-D", "seconds=0.5", "--data", out],
        "export": ["models", "export", made / "run" / "model", "--to", out / "model.pt2"],
    }


@pytest.mark.parametrize("command", sorted(commands(Path(), Path())))
def test_a_command_replaces_its_own_files_and_none_of_the_user_s(made, tmp_path, command):
    """Whatever folder it writes to: one of its own, or one that holds other things."""
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "notes.txt").write_text("the user's")
    for out in (tmp_path / "new", tmp_path / "shared"):
        for _ in range(2):
            code, said = run(*commands(made, out)[command])
            assert code == 0, said
    assert (tmp_path / "shared" / "notes.txt").read_text() == "the user's"
    written = sorted(path.relative_to(tmp_path / "new") for path in (tmp_path / "new").rglob("[!.]*") if path.is_file())
    assert written
    # One of each kind of file, in the way of a first run; of a run and an export see below.
    for name in {path.suffix: path for path in written}.values() if command not in ("export", "train") else ():
        out = tmp_path / f"taken by {str(name).replace('/', ' ')}"
        (out / name).parent.mkdir(parents=True)
        (out / name).write_text("the user's")
        code, said = run(*commands(made, out)[command])
        assert code == 1 or command == "extract", name
        assert (out / name).read_text() == "the user's"
        assert command == "extract" or REFUSED in said, said


def test_a_run_is_refused_before_it_is_trained_and_leaves_nothing(made, tmp_path):
    for name in ("report.html", "model/model.json", "model/weights.safetensors", "history.csv", "train.log", "run.json"):
        out = tmp_path / name.replace("/", " ")
        (out / name).parent.mkdir(parents=True)
        (out / name).write_text("the user's")
        code, said = run("train", "--dataset", "esc50", "--data", made / "data", *MLP, "--out", out)
        assert (code, REFUSED in said) == (1, True), said
        assert [path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()] == [name]


def test_saving_a_model_or_a_report_in_python_replaces_no_stranger(made, tmp_path):
    model = load(made / "run" / "model")
    for name in ("model.json", "weights.safetensors", "report.md"):
        (tmp_path / name).write_text("the user's")
        report = Report("t", {}, [], environment())
        for save in (model.save,) if name != "report.md" else (report.save,):
            with pytest.raises(StorageError, match=f"{name} {REFUSED}"):
                save(tmp_path)
        assert sorted(path.name for path in tmp_path.iterdir()) == [name]
        (tmp_path / name).unlink()


def test_an_export_that_fails_claims_no_name(made, tmp_path):
    (tmp_path / "notes.txt").write_text("the user's")
    to = tmp_path / "model.pt2"
    assert run("models", "export", made / "run" / "model", "--to", to, "--seconds", "-1")[0] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    to.write_text("the user's")
    code, said = run("models", "export", made / "run" / "model", "--to", to)
    assert (code, REFUSED in said, to.read_text()) == (1, True, "the user's"), said


def test_a_mark_that_names_files_makes_no_folder_ours(tmp_path):
    (tmp_path / "dog").mkdir()
    (tmp_path / "dog" / "a.txt").write_text("the user's")
    for name in ("b.tsv", "c/d.tsv"):
        write_text(place(tmp_path / "dog", name, kind="features"), "ours")
    assert (tmp_path / "dog" / MARK).read_text() == "features\tb.tsv\nfeatures\tc/d.tsv\n"
    assert set(list_tree(tmp_path).files) == {f"dog/{name}" for name in ("a.txt", "b.tsv", "c/d.tsv")}
    write_text(place(tmp_path / "dog", "c/d.tsv", kind="features"), "again")
    with pytest.raises(StorageError, match=REFUSED):
        check_place(tmp_path / "dog", "b.tsv", "a.txt", kind="features")
    with pytest.raises(StorageError, match=REFUSED):
        place(tmp_path / "dog", "b.tsv", kind="labels")


def test_what_could_not_be_written_is_not_ours(tmp_path):
    (tmp_path / "a.txt").write_text("the user's")
    with pytest.raises(ZeroDivisionError), placing(tmp_path, "b.txt", kind="labels"):
        raise ZeroDivisionError
    (tmp_path / "b.txt").write_text("the user's")
    with pytest.raises(StorageError, match=REFUSED):
        place(tmp_path, "b.txt", kind="labels")
