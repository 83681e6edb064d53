"""Files that dcasekit wrote itself and that somebody cut or edited: named errors, or made anew; what `tests/fuzz` found, kept as cases."""

import hashlib
import json
import zipfile

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

from dcasekit import load, testing
from dcasekit.annotations import Clip
from dcasekit.augmentations import AugmentedDataset, WhiteNoise
from dcasekit.cli import app
from dcasekit.cli.training import RUN, Journal, claim, evaluation_fold
from dcasekit.core.files import read_json, unsafe
from dcasekit.datasets import ESC10, ESC50, Soundscapes
from dcasekit.errors import AnnotationError, DatasetError, DcasekitError, FeatureError, ModelError
from dcasekit.features import Mel, MelSpectrogram
from dcasekit.features._store import FeatureStore
from dcasekit.generator.scaler import Scaler
from dcasekit.models import MLP, CompactCNN

FEATURE = MelSpectrogram(sr=8000, audio_win=256, audio_hop=128, mel=Mel(bands=8))


@pytest.fixture
def dataset(tmp_path):
    return testing.make_dataset("esc10", tmp_path / "esc10", clips=6, seconds=0.1, sr=8000)


def test_json_of_a_depth_that_nothing_of_ours_has_is_refused(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("[" * 90 + "]" * 90)
    read_json(path, error=ModelError)
    for depth in (101, 900, 100_000):
        path.write_text('{"a":' * depth + "1" + "}" * depth)
        with pytest.raises(ModelError, match=r"a\.json"):
            read_json(path, error=ModelError)


def test_names_that_no_disk_takes_are_no_ids():
    assert unsafe(f"{'a' * 255}/b") == ""
    assert "longer than 255 bytes" in unsafe("a" * 256)
    assert "longer than 255 bytes" in unsafe("b/" + "é" * 128)
    assert unsafe("a/" * 499 + "bc") == ""
    assert "longer than 1000 bytes" in unsafe("a/" * 499 + "bcd")
    assert "longer than 1000 bytes" in unsafe("é/" * 333 + "bcd")


class LongNames(ESC50):
    """Clips whose files no disk can hold."""

    def load(self):
        return [Clip("a", self.root / f"{'a' * 300}.wav", fold="fold1", tags={"dog": 1.0})]


def test_a_recording_whose_name_no_disk_takes_is_missing(tmp_path):
    for content in (True, False):
        assert [problem.kind for problem in LongNames(tmp_path).validate(content=content)] == ["missing"]
    with pytest.raises(DatasetError, match="1 of 1 listed files are not there"):
        LongNames(tmp_path).set_as_downloaded()


@pytest.mark.parametrize("wrong", [None, [], {"a": 1}, "x", ["x"], [1e999], [0.5] * 3, [[0.5] * 4], 10**400])
@pytest.mark.parametrize("key", ["mean", "squares", "count", "low"])
def test_a_scaler_of_something_else_than_numbers_is_named(tmp_path, key, wrong):
    path = Scaler().fit(np.random.default_rng(0).normal(size=(5, 4))).save(tmp_path / "scaler.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: wrong}))
    with pytest.raises(ModelError, match=r"scaler\.json"):
        Scaler.load(path)


@pytest.mark.parametrize("count", [0, -1, 1 << 63, 10**19, 1e300])
def test_a_scaler_of_an_absurd_count_is_named(tmp_path, count):
    path = Scaler().fit(np.random.default_rng(0).normal(size=(5, 4))).save(tmp_path / "scaler.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"count": count}))
    with pytest.raises(ModelError, match=r"scaler\.json"):
        Scaler.load(path)


@pytest.mark.parametrize("content", [b"epoch,loss\n1,\xff\n", b'epoch,loss\n1,"0.5\n', b"\xff\xfe"])
def test_a_history_that_is_no_table_is_named(tmp_path, content):
    Journal(tmp_path)({"epoch": 1, "loss": 0.5, "seconds": 1.0})
    (tmp_path / "history.csv").write_bytes(content)
    with pytest.raises(ModelError, match=r"history\.csv"):
        Journal(tmp_path)({"epoch": 2, "loss": 0.5, "seconds": 1.0})


@pytest.mark.parametrize("content", ["[]", "3", '"x"', "null", "{", '{"dataset": "ESC10", "fold": ["fold1"]}'])
def test_a_run_s_settings_of_another_structure_are_named(tmp_path, dataset, content):
    (tmp_path / "model").mkdir()
    (tmp_path / RUN).write_text(content)
    with pytest.raises(DcasekitError, match=r"run\.json|other settings"):
        claim(tmp_path, {"fold": "fold1"})
    with pytest.raises(DcasekitError, match=r"run\.json"):
        evaluation_fold(tmp_path / "model", dataset, None)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("damage", ["weights", "history", "best_epoch"])
def test_a_checkpoint_that_was_edited_is_named_and_not_trained_on(tmp_path, damage):
    rng = np.random.default_rng(0)
    data = rng.normal(size=(8, 6, 4)).astype(np.float32), np.eye(2, dtype=np.float32)[np.arange(8) % 2]

    def train(epochs):
        MLP(hidden_layers_size=(3,), dropout_rates=(0.0,)).train(data, data, epochs=epochs, device="cpu", resume=tmp_path)

    train(1)
    path = tmp_path / "checkpoint.safetensors"
    content = path.read_bytes()
    if damage == "weights":
        path.write_bytes(content[:-3] + bytes([content[-3] ^ 64]) + content[-2:])
    else:
        path.write_bytes(content.replace(b'\\"best_epoch\\": 1', b'\\"best_epoch\\": 7').replace(b'\\"epoch\\": 1', b'\\"epoch\\": 2'))
    assert path.read_bytes() != content
    with pytest.raises(ModelError, match=r"checkpoint\.safetensors"):
        train(2)
    path.write_bytes(content)
    train(2)
    assert len(load_file(path)) > 0


CHANGES = [
    {"skipped": []}, {"skipped": {"a": 3}}, {"skipped": None}, {"files": {"frames-0000000000000000.npy": "x"}}, {"files": []},
    {"clips": []}, {"clips": {"a": []}}, {"clips": {"a": 3}}, {"clips": {"a": [0, 0, 1, 8, 1e19, None, 1, 1, 1, ""]}},
    {"clips": {"a": [0, True, 1, 8, 1.0, None, 1, 1, 1, ""]}}, {"clips": {"a": [0, 10**30, 1, 8, 1.0, None, 1, 1, 1, ""]}},
    {"clips": {"a": [0, 0, 1, 8, 1.0, "left", 1, 1, 1, ""]}}, {"clips": {"a": [0, 0, 1, 8, 1.0, None, 1, 1, 1, {}]}},
]  # fmt: skip


@pytest.mark.parametrize("changes", CHANGES, ids=lambda changes: json.dumps(changes)[:50])
def test_an_index_of_another_structure_is_named_and_extract_repairs_it(dataset, changes):
    store = FEATURE.extract(dataset, jobs=1)
    path = store.folder / "index.json"
    about = {name: value for name, value in json.loads(path.read_text()).items() if name != "sha256"}
    body = json.dumps(about | changes)[1:] + "\n"
    path.write_text(f'{{"sha256": "{hashlib.sha256(body.encode()).hexdigest()}",\n{body}')
    with pytest.raises(FeatureError, match=r"index\.json"):
        _ = FeatureStore(store.folder).entries
    FEATURE.extract(dataset, jobs=1)
    assert len(FeatureStore(store.folder).entries) == 6


def test_a_numpy_head_that_python_cannot_split_into_words_is_named(tmp_path):
    model = MLP(hidden_layers_size=(3,), dropout_rates=(0.0,)).build((6, 4), ("a", "b"))
    head = b"{'descr': '<f4', 'shape': (3,\n" + b" " * 33
    with zipfile.ZipFile(tmp_path / "w.npz", "w") as file:
        file.writestr("w.npy", b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head)
    with pytest.raises(ModelError, match=r"w\.npz"):
        model.load_weights(tmp_path / "w.npz")


@pytest.mark.parametrize("row", ["1-1-A-0.wav,1,0,barking,True,1,A", "1-1-A-0.wav,9,0,dog,True,1,A", f"{'a' * 300}.wav,1,0,dog,True,1,A"])
def test_what_is_wrong_with_labels_names_the_folder(dataset, row):
    path = dataset.root / "meta" / "esc50.csv"
    path.write_text(path.read_text() + row + "\n")
    with pytest.raises(DatasetError, match=str(dataset.root)) as caught:
        _ = ESC10(dataset.root).clips
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("tags", [[["dog", 1.0]], {"dog": [1.0]}, {"dog": 7}, "dog"])
def test_the_record_of_a_copy_that_was_edited_counts_as_missing(dataset, tags):
    def augmented():
        return AugmentedDataset(ESC10(dataset.root), [WhiteNoise(snr=20)], seed=1)

    augmented().process(jobs=1)
    (path,) = dataset.root.rglob("complete.json")
    whole = path.read_text()
    about = json.loads(whole)
    next(iter(about["copies"].values()))["tags"] = tags
    path.write_text(json.dumps(about))
    with pytest.raises(DatasetError, match="is missing"):
        _ = augmented().clips
    augmented().process(jobs=1)
    assert json.loads(path.read_text()) == json.loads(whole)
    assert len(augmented().clips) == 12


def test_weights_are_not_taken_from_a_checkpoint_of_arrays_without_a_checksum(tmp_path):
    save_file({"state.a": np.zeros(3, np.float32)}, tmp_path / "checkpoint.safetensors", metadata={"state": "{}"})
    data = np.zeros((4, 6, 4), np.float32), np.eye(2, dtype=np.float32)[[0, 1, 0, 1]]
    with pytest.raises(ModelError, match=r"checkpoint\.safetensors"):
        MLP(hidden_layers_size=(3,), dropout_rates=(0.0,)).train(data, epochs=1, device="cpu", resume=tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"present": {"fold1": 1}},
        {"present": []},
        {"present": ["../fold1"]},
        {"present": ["/etc"]},
        {"clips": 2.5},
        {"clips": 10**12},
        {"labels": "dog"},
        {"folds": None},
        {"seconds": "1"},
    ],
    ids=json.dumps,
)
def test_settings_of_soundscapes_that_were_edited_are_named(tmp_path, changes):
    dataset = testing.make_dataset("soundscapes", tmp_path, clips=4, seconds=0.2, sr=8000)
    path = dataset.root / "settings.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(DatasetError, match=r"settings\.json"):
        _ = Soundscapes(dataset.root).clips


@pytest.mark.parametrize("changes", [{"duration": 1e999}, {"tags": 3}, {"events": [[1]]}, {"source": {}}])
def test_the_record_beside_a_copy_that_was_edited_is_made_anew(dataset, changes):
    AugmentedDataset(dataset, [WhiteNoise(snr=20)], seed=1).process(jobs=1)
    path = sorted(dataset.root.rglob("*.wav.json"))[0]
    whole = path.read_text()
    path.write_text(json.dumps(json.loads(whole) | changes))
    AugmentedDataset(dataset, [WhiteNoise(snr=20)], seed=1).process(jobs=1)
    assert json.loads(path.read_text()) == json.loads(whole)


@pytest.mark.usefixtures("one_thread")
def test_a_model_that_cannot_answer_its_own_windows_is_not_loaded(tmp_path):
    model = CompactCNN().build((12, 8), ("a", "b"))
    weights = {name: array.copy() for name, array in model.weights().items()}
    next(iter(weights.values()))[:] = np.nan
    model.set_weights(weights)
    model.save(tmp_path)
    with pytest.raises(ModelError, match=str(tmp_path)):
        load(tmp_path)


@pytest.mark.parametrize("changes", [{"class": "x" * 5000}, {"features": {"class": "mel_spectrogram", "settings": {"sr": "x" * 5000}}}])
def test_a_message_is_short_however_long_a_text_of_a_file_is(tmp_path, changes):
    MLP(hidden_layers_size=(3,), dropout_rates=(0.0,)).build((6, 4), ("a", "b")).save(tmp_path)
    path = tmp_path / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(ModelError, match=str(tmp_path)) as caught:
        load(tmp_path)
    assert len(str(caught.value)) < 1500


def test_a_file_of_several_recordings_with_endless_names_is_refused_in_a_short_message(tmp_path):
    from dcasekit.annotations.files import read_annotation

    rows = "".join(f"{';' * 4000}{n}.wav\t0\t1\tdog\n" for n in range(2))
    (tmp_path / "a.tsv").write_text(f"filename\tonset\toffset\tevent_label\n{rows}")
    with pytest.raises(AnnotationError, match="lists 2 recordings") as refused:
        read_annotation(tmp_path / "a.tsv")
    assert len(str(refused.value)) < 1000


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'shape': (3,\n", b"PK\x03\x04"])
def test_frames_that_are_no_array_are_named(dataset, content):
    store = FEATURE.extract(dataset, jobs=1)
    (path,) = store.folder.glob("frames-*.npy")
    path.write_bytes(content.ljust(path.stat().st_size))
    with pytest.raises(FeatureError, match=r"frames-\w+\.npy was changed after it was written"):
        FeatureStore(store.folder).read(next(iter(store.entries)))


@pytest.mark.parametrize(
    "line", ["3", "{}", '"a"', '["a"]', '{"a": 1}', '[["a"], 0, 1, 8]', '[{}, 0, 1, 8, 1, null, 1, 1, 1, ""]', "[" * 99_999]
)
def test_notes_of_a_worker_that_were_edited_are_passed_over(dataset, line):
    store = FEATURE.extract(dataset, jobs=1)
    clip, entry = next(iter(store.entries.items()))
    rows = [line, line.replace("[", f'["{clip}", [', 1), json.dumps([[clip], *entry.row()])]
    (store.folder / "part-x-1-1.log").write_text("\n".join([*rows, ""]))
    (store.folder / "part-x-1-1.bin").write_bytes(bytes(10_000))
    (store.folder / "index.json").unlink()
    assert len(FEATURE.extract(dataset, jobs=1).entries) == 6
    assert not list(store.folder.glob("part-*"))


def test_an_array_of_an_encrypted_archive_is_named(tmp_path):
    np.savez(tmp_path / "w.npz", w=np.zeros(3, np.float32))
    content = bytearray((tmp_path / "w.npz").read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    content[6] |= 1
    (tmp_path / "w.npz").write_bytes(content)
    with pytest.raises(ModelError, match=r"w\.npz is damaged, .*encrypted"):
        MLP(hidden_layers_size=(3,), dropout_rates=(0.0,)).build((6, 4), ("a", "b")).load_weights(tmp_path / "w.npz")


def test_a_setting_of_the_command_line_nested_beyond_reading_is_a_text(tmp_path):
    command = ["train", "--dataset", "esc10", "--data", str(tmp_path), "--model", "mlp", "--out", str(tmp_path / "run"), "-M"]
    done = CliRunner().invoke(app, [*command, f"hidden_layers_size={'[' * 5000}"])
    assert done.exit_code == 2
    assert "hidden_layers_size must be" in done.stderr


def test_a_model_of_windows_too_large_to_try_is_loaded_untried(tmp_path, monkeypatch):
    MLP(hidden_layers_size=(3,), dropout_rates=(0.0,)).build((1001, 2000), ("a", "b")).save(tmp_path)
    monkeypatch.setattr(MLP, "answer", lambda *_, **__: pytest.fail("it took the memory of an answer"))
    assert load(tmp_path).shape == (1001, 2000)


def test_settings_of_a_model_beyond_all_sense_are_named(tmp_path):
    MLP(hidden_layers_size=(3,), dropout_rates=(0.0,)).build((6, 4), ("a", "b")).save(tmp_path)
    path = tmp_path / "model.json"
    about = json.loads(path.read_text())
    for settings in ({"dropout_rates": [10**400]}, {"hidden_layers_size": [10**6, 10**6]}, {"dropout_rates": ["x" * 5000]}):
        path.write_text(json.dumps(about | {"settings": about["settings"] | settings}))
        with pytest.raises(ModelError, match=str(tmp_path)):
            load(tmp_path)
