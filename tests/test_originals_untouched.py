"""Nothing of the user's is touched: whatever a list, a link or a folder says, all original bytes stay, and nothing lies elsewhere."""

import csv
import errno
import json
import os
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import dcasekit
from dcasekit import AugmentedDataset, audio, cli, testing
from dcasekit.augmentations import Gain
from dcasekit.core import discover
from dcasekit.datasets import ESC50, Folder, Soundscapes, SyntheticSounds
from dcasekit.errors import DatasetError, StorageError
from dcasekit.features import Mel, MelSpectrogram
from dcasekit.recipes import esc10

FEATURE = MelSpectrogram(sr=8000, audio_win=256, audio_hop=200, mel=Mel(bands=8), sequence_time=0.5)
SMALL = ["-F", "sr=8000", "-F", "audio_win=256", "-F", "audio_hop=200", "-F", "mel.bands=8", "-F", "sequence_time=0.5"]
MLP = ["--model", "mlp", *SMALL, "-M", "hidden_layers_size=[4]", "-M", "dropout_rates=[0]", "-T", "epochs=1", "-T", "device=cpu"]


def run(*args: object) -> tuple[int, str]:
    """Run the command; whatever it does with a hostile tree, it ends with an answer or with one line."""
    result = CliRunner().invoke(cli.app, [str(arg) for arg in args])
    assert result.exit_code in (0, 1), (result.output, result.exception)
    assert result.exit_code == 0 or result.stderr.splitlines()[-1].startswith(("error: ", "extra", "warning: ")), result.stderr
    return result.exit_code, result.stderr


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its bytes, links by where they lead."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = os.fsencode(os.readlink(path))
        elif path.is_file():
            found[name] = path.read_bytes()
    return found


def noise(path: Path, seed: int = 0) -> Path:
    return audio.write(path, np.random.default_rng(seed).normal(0, 0.1, 8000).astype(np.float32), 8000, subtype="PCM_16")


@pytest.fixture
def world(tmp_path):
    """Two recordings of the user's that belong to no dataset, and a place for one beside them."""
    noise(tmp_path / "rec" / "r1.wav", seed=1)
    noise(tmp_path / "rec" / "r2.wav", seed=2)
    (tmp_path / "data").mkdir()
    return tmp_path


def everything(name: str, data: Path, out: Path) -> None:
    """Run every command that writes, and the writers that have no command."""
    given = ("--dataset", name, "--data", data)
    run("augment", *given, "-A", "gain:min_db=3,max_db=3")
    run("datasets", "split", name, "--data", data, "--out", out / "splits")
    for form in ("events", "tags", "tsv", "audacity", "elan", "raven", "jams"):
        run("datasets", "convert", name, "--data", data, "--to", form, "--out", out / form)
    run("extract", *given, *SMALL)
    run("train", *given, *MLP, "--out", out / "run")
    if (out / "run" / "model").exists():
        run("predict", "--model", out / "run" / "model", *sorted(data.rglob("*.wav"))[:3])
        run("predict", "--model", out / "run" / "model", data, "--out", out / "answers", "--clips", 2)
        run("evaluate", "--model", out / "run" / "model", *given, "--out", out / "evaluation", "--scores", out / "scores")
    with suppress(dcasekit.DcasekitError):
        dataset = discover.load("datasets", name)(data)
        dataset.change_sampling_rate(4000)
        AugmentedDataset(discover.load("datasets", name)(data), [Gain(min_db=1, max_db=1)]).process()


def check_untouched(world: Path, before: dict[str, bytes], ours: tuple[str, ...]) -> None:
    after = snapshot(world)
    assert {name: after.get(name) for name in before} == before
    strangers = [name for name in after if name not in before and not name.startswith(ours)]
    assert strangers == []


OURS = ("out/", "data/features/", "data/augmented/", "data/audio4000/")


def folder_of(world: Path, names: list[str], listed: str = "events.tsv") -> None:
    """A folder of recordings with a list, whose names are a stranger's."""
    for number in range(10):
        noise(world / "data" / f"clip{number}.wav", seed=number)
    rows = [(f"clip{number}.wav", 0.1, 0.5, "dog" if number % 2 else "rain") for number in range(10)]
    rows += [(name, 0.1, 0.5, "dog") for name in names]
    with (world / "data" / listed).open("w", newline="") as file:
        write = csv.writer(file, delimiter="\t")
        write.writerows([("filename", "onset", "offset", "event_label"), *rows] if listed == "events.tsv" else [(r[0], r[3]) for r in rows])


@pytest.mark.parametrize("listed", ["events.tsv", "tags.tsv"])
@pytest.mark.parametrize(
    "names",
    [
        ["{world}/rec/r1.wav", "{world}/rec/r2.wav"],
        ["../rec/r1.wav", "../rec/r2.wav"],
        ["./../rec/r1.wav", "sub/../../rec/r2.wav"],
        ["..\\rec\\r1.wav"],
        ["../rec/new.wav"],
        ["link/r1.wav"],
    ],
    ids=["absolute", "up", "dots", "backslashes", "missing", "link"],
)
def test_a_list_that_names_recordings_elsewhere_overwrites_none(world, names, listed):
    (world / "data" / "link").symlink_to("../rec")
    folder_of(world, [name.format(world=world) for name in names], listed)
    before = snapshot(world)
    everything("folder", world / "data", world / "out")
    check_untouched(world, before, OURS)


def test_a_recording_whose_name_is_not_utf_8_has_a_safe_id_and_its_copies_lie_inside(world):
    (world / "data" / "dog").mkdir()
    for name in (b"caf\xe9.wav", b"line\nbreak.wav"):
        os.rename(noise(world / "rec" / "r3.wav"), os.path.join(os.fsencode(world / "data" / "dog"), name))
    noise(world / "data" / "cat" / "one.wav")
    dataset = Folder(world / "data")
    assert {clip.id for clip in dataset.clips} == {"dog/caf%E9", "dog/line%0Abreak", "cat/one"}
    dataset.change_sampling_rate(4000)
    assert (world / "data" / "audio4000" / "dog" / "caf%E9.wav").exists()


@pytest.mark.parametrize("name", ["../../rec/r1.wav", "{world}/rec/r1.wav", "../../rec/new.wav"])
def test_a_name_in_esc50_csv_that_leads_elsewhere_is_refused(world, name):
    testing.make_dataset("esc50", world / "data", clips=20, seconds=0.6, sr=8000)
    meta = world / "data" / "meta" / "esc50.csv"
    lines = meta.read_text().splitlines()
    lines[3] = ",".join([name.format(world=world), *lines[3].split(",")[1:]])
    meta.write_text("\n".join(lines) + "\n")
    before = snapshot(world)
    with pytest.raises(DatasetError, match=r"id is a path below the dataset's folder.*label files again"):
        _ = ESC50(world / "data").clips
    everything("esc50", world / "data", world / "out")
    check_untouched(world, before, OURS)


@pytest.mark.parametrize("name", sorted(set(discover.names("datasets")) - {"folder", "soundscapes"}))
def test_all_commands_on_every_dataset_leave_the_originals_as_they_are(world, name):
    testing.make_dataset(name, world / "data", clips=20, seconds=0.6, sr=8000)
    before = snapshot(world)
    data, out = world / "data", world / "out"
    for form in ("events", "tags", "jams"):
        run("datasets", "convert", name, "--data", data, "--to", form, "--out", out / form)
    run("datasets", "split", name, "--data", data, "--out", out / "splits")
    run("augment", "--dataset", name, "--data", data, "-A", "gain:min_db=3,max_db=3")
    dataset = discover.load("datasets", name)(data)
    dataset.change_sampling_rate(4000)
    FEATURE.extract(dataset)
    check_untouched(world, before, OURS)


@pytest.mark.parametrize("into", [".", "sub"], ids=["the folder itself", "a folder of the user's"])
def test_labels_never_take_the_place_of_a_file_that_dcasekit_did_not_write(world, into):
    folder_of(world, [])
    out = world / "data" / into
    for name in ("train.tsv", "tags.tsv", "clip1.tsv", "clip1.txt", "sub/events.tsv", "sub/train.tsv", "sub/clip3.jams"):
        path = world / "data" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("the user's\tnotes\n")
    before = snapshot(world)
    for form in ("events", "tags", "tsv", "audacity", "jams"):
        run("datasets", "convert", "folder", "--data", world / "data", "--to", form, "--out", out)
    code, said = run("datasets", "split", "folder", "--data", world / "data", "--out", out)
    assert code == 1
    assert "train.tsv exists and dcasekit did not write it" in said
    assert {name: snapshot(world).get(name) for name in before} == before


def test_a_conversion_may_be_repeated_where_it_made_the_folder(world):
    folder_of(world, [])
    for _ in range(2):
        assert run("datasets", "convert", "folder", "--data", world / "data", "--to", "jams", "--out", world / "out")[0] == 0
        assert run("datasets", "split", "folder", "--data", world / "data", "--out", world / "out")[0] == 0


@pytest.mark.parametrize("ours", ["audio4000", "augmented", "features", "augmented/{gain}", "features/{mel}"])
def test_links_in_a_dataset_lead_no_writer_out_of_it(world, ours):
    testing.make_dataset("esc50", world / "data", clips=20, seconds=0.6, sr=8000)
    gain = Gain(min_db=1, max_db=1)
    link = world / "data" / ours.format(gain=gain.fingerprint, mel=FEATURE.fingerprint)
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(world / "rec")
    before = snapshot(world)
    dataset = ESC50(world / "data")
    writers = {
        "audio4000": lambda: ESC50(world / "data").change_sampling_rate(4000),
        "augmented": AugmentedDataset(dataset, [gain]).process,
        "features": lambda: FEATURE.extract(dataset),
    }
    with pytest.raises(StorageError, match="link that leads out of"):
        writers[ours.partition("/")[0]]()
    check_untouched(world, before, OURS)
    assert len([name for name in snapshot(world) if name.startswith("rec/")]) == 2


def test_a_folder_of_recordings_that_is_called_like_ours_is_left_alone(world):
    testing.make_dataset("esc50", world / "data", clips=20, seconds=0.6, sr=8000)
    first = ESC50(world / "data").clips[0]
    noise(world / "data" / "audio4000" / f"{first.id}.wav", seed=9)
    before = snapshot(world)
    with pytest.raises(StorageError, match=r"audio4000/.*\.wav exists and dcasekit did not write it"):
        ESC50(world / "data").change_sampling_rate(4000, jobs=1)
    check_untouched(world, before, OURS)


def test_sounds_are_not_made_over_recordings(world):
    noise(world / "data" / "audio" / "clip00000.wav")
    (world / "data" / "events.tsv").write_text("the user's\n")
    before = snapshot(world)
    with pytest.raises(StorageError, match="exists and dcasekit did not write it"):
        SyntheticSounds(world / "data", clips=5, seconds=0.5, sr=8000).download()
    check_untouched(world, before, ("data/audio/",))


@pytest.mark.parametrize("text", ["{}", "the user's"])
def test_sounds_are_not_made_where_a_file_of_the_user_s_has_the_name_of_their_settings(world, text):
    (world / "data" / "settings.json").write_text(text)
    testing.make_dataset("esc50", world / "esc50", clips=20, seconds=0.6, sr=8000)
    made = [SyntheticSounds(world / "data", clips=5, seconds=0.5, sr=8000), Soundscapes(world / "data", foreground=ESC50(world / "esc50"))]
    before = snapshot(world)
    for dataset in made:
        with pytest.raises(StorageError, match=r"settings.json exists and dcasekit did not write it"):
            dataset.download()
    assert snapshot(world) == before


def test_copies_of_ours_are_used_although_the_mark_of_their_folder_was_lost(world):
    testing.make_dataset("esc50", world / "data", clips=20, seconds=0.6, sr=8000)
    for _ in range(2):
        dataset = ESC50(world / "data")
        dataset.change_sampling_rate(4000, jobs=1)
        FEATURE.extract(ESC50(world / "data"), jobs=1)
        for mark in world.rglob(".dcasekit"):  # as a copy of "*" leaves it behind
            mark.unlink()
    noise(dataset.root / "audio" / f"{dataset.clips[0].id}.wav", seed=5)
    with pytest.raises(StorageError, match="exists and dcasekit did not write it"):
        ESC50(world / "data").change_sampling_rate(4000, jobs=1)


def test_a_stranger_s_record_of_a_copy_is_made_anew(world):
    """Files beside the copies that hold something else than they should are no record, and no error."""
    testing.make_dataset("esc50", world / "data", clips=20, seconds=0.6, sr=8000)
    dataset = ESC50(world / "data")
    dataset.change_sampling_rate(4000, jobs=1)
    good = snapshot(world / "data" / "audio4000")
    abouts = sorted((world / "data" / "audio4000").glob("*.json"))
    for path, text in zip(abouts, ("", "{", "[]", "{}", "null", json.dumps({"origin": 1, "channel": None, "bytes": 1})), strict=False):
        path.write_text(text)
    dataset.change_sampling_rate(4000, jobs=1)
    again = snapshot(world / "data" / "audio4000")
    assert {name: text for name, text in again.items() if name.endswith(".json")} == {n: t for n, t in good.items() if n.endswith(".json")}


def test_a_recipe_removes_its_own_checkpoints_and_nothing_beside_them(world):
    folder = world / "checkpoints"
    ours = [folder / fold / "checkpoint.safetensors" for fold in ("fold1", "fold2")]
    users = [folder / "fold1" / "notes.txt", folder / "mine.safetensors"]
    for path in (*ours, *users):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    esc10.remove_checkpoints(folder)
    assert [path.exists() for path in ours] == [False, False]
    assert not (folder / "fold2").exists()
    assert all(path.exists() for path in users)


LIMITED = """
import resource, sys
from dcasekit import cli
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)  # stands for a full disk
sys.argv = ["dcasekit", *sys.argv[2:]]
cli.main()
"""

# Ray itself writes more than what stands for a full disk, so only its workers are limited, or killed.
ON_RAY = """
import resource, sys
import ray
from dcasekit import cli
room = int(sys.argv[1])
def die(event, args):
    if event == "open" and str(args[0]).endswith(".log") and "part-" in str(args[0]):
        sys.modules["os"].kill(sys.modules["os"].getpid(), 9)
def limit():
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, room)) if room else sys.addaudithook(die)
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env={"worker_process_setup_hook": limit})
sys.argv = ["dcasekit", *sys.argv[2:]]
cli.main()
"""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_answers_that_find_no_room_are_one_line():
    command = [sys.executable, "-c", LIMITED, str(2**30), "features"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(
        "error: cannot write to standard output: the disk is full; free some space, or redirect the output elsewhere\n"
    )
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("room", "command", "file"),
    [
        (2000, ["extract", *SMALL], "part-"),
        (2000, ["extract", *SMALL, "--backend", "dask", "--jobs", "2"], "part-"),
        (2000, ["augment", "-A", "gain:min_db=3,max_db=3"], ".wav"),
        (20_000, ["train", *MLP, "--out", "out"], "safetensors"),
        (100, ["train", *MLP, "--out", "out"], ".json"),
    ],
    ids=["extract", "extract on Dask", "augment", "train", "train at once"],
)
def test_a_full_disk_is_one_line_of_every_command(world, room, command, file):
    if "dask" in command:
        pytest.importorskip("dask.distributed")
    testing.make_dataset("esc50", world / "data", clips=20, seconds=0.6, sr=8000)
    before = snapshot(world)
    if command[0] == "train":
        run("extract", "--dataset", "esc50", "--data", world / "data", *SMALL)
        command = [*command, "-M", "hidden_layers_size=[256]"] if room > 1000 else command
    given = [*command, "--dataset", "esc50", "--data", str(world / "data")]
    done = subprocess.run([sys.executable, "-c", LIMITED, str(room), *given], capture_output=True, text=True, check=False, cwd=world)
    said = done.stderr.strip().splitlines()
    assert done.returncode == 1, done.stderr
    assert said[-1].startswith("error: cannot write "), done.stderr
    assert file in said[-1]
    assert "the disk is full" in said[-1]
    assert "--cache" in said[-1]
    assert "Traceback" not in done.stderr
    check_untouched(world, before, OURS)


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("room", "message"),
    [
        (2000, r"error: cannot write \S+part-\S+: the disk is full.*--cache"),
        (0, r"error: a worker process was killed .*what is done is kept"),
    ],
    ids=["full disk", "killed worker"],
)
def test_extraction_on_ray_says_in_one_line_what_happened_and_goes_on(world, room, message):
    pytest.importorskip("ray", reason="not in the extra 'test', as it is large: python -m pip install 'dcasekit[ray]'")
    testing.make_dataset("esc50", world / "data", clips=20, seconds=0.6, sr=8000)
    before = snapshot(world)
    command = ["extract", *SMALL, "--dataset", "esc50", "--data", str(world / "data")]
    given = [sys.executable, "-c", ON_RAY, str(room), *command, "--backend", "ray", "--jobs", "2"]
    done = subprocess.run(given, capture_output=True, text=True, check=False, cwd=world)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert [bool(re.match(message, line)) for line in done.stderr.splitlines() if line.startswith("error")] == [True], done.stderr
    assert run(*command)[0] == 0
    assert len(FEATURE.extract(ESC50(world / "data")).entries) == 20
    check_untouched(world, before, OURS)


def test_a_dataset_that_may_not_be_written_to_says_how_to_give_a_cache(world, monkeypatch):
    testing.make_dataset("esc50", world / "data", clips=20, seconds=0.6, sr=8000)
    original = os.open

    def refuse(path, flags, *more, **named):
        if flags & os.O_CREAT and str(path).startswith(str(world / "data")):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return original(path, flags, *more, **named)

    monkeypatch.setattr(os, "open", refuse)
    dataset = ESC50(world / "data")
    for write in (lambda: FEATURE.extract(dataset), AugmentedDataset(dataset, [Gain(min_db=1, max_db=1)]).process):
        with pytest.raises(StorageError, match=r"Read-only file system, or write elsewhere \(derived data: cache=, --cache\)"):
            write()
    assert len(FEATURE.extract(ESC50(world / "data", cache=world / "out")).entries) == 20
