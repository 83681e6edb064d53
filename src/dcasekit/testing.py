"""Make tiny datasets in their true form on disk, and check that a class keeps the contract of its family.

The project's own tests run these over every dataset, feature and model there is; run them over yours. What does not hold is said by a
`ContractError`::

    testing.check_dataset(MyDataset("/tmp/a-small-part-of-it"))
    testing.check_feature(MyFeature(sr=16000))
    testing.check_model(MyModel(units=8), shape=(64, 40), labels=("cat", "dog"))
"""

import copy
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from dcasekit import audio, discover
from dcasekit.containers.base import ModelContainer, load
from dcasekit.datasets._base import Dataset
from dcasekit.errors import DatasetError, FeatureError, ModelError
from dcasekit.features._base import FeatureExtractor
from dcasekit.files import write_text
from dcasekit.units import FloatArray, Hz, PathLike, Seconds


class ContractError(AssertionError):
    """A class does not keep the contract of its family; the message says which sentence of it."""


def make_dataset(name: str, root: PathLike, *, clips: int = 60, seconds: Seconds = 1.0, seed: int = 0, sr: Hz = 16000) -> Dataset:
    """Write a small valid tree of a dataset: true file names and label files, synthetic sounds that can be told apart.

    Two clips each come from one source recording, in one fold; every fold is used before the next label is.

    Parameters
    ----------
    name : of a dataset, as `discover.load` takes it.
    root : folder to write into.
    clips : how many in all; with 60 every dataset has clips in three folds or more.
    seconds : length of a clip.
    seed : the same one gives the same bytes.
    sr : Hz; UrbanSound8K's clips have this and other rates, as the true ones do.
    """
    kind = discover.load("datasets", name)
    stem = discover.address(kind)
    made: Dataset = kind(root, clips=clips, seconds=seconds, seed=seed) if stem in _MAKES_ITSELF else kind(root)
    if stem in _WRITERS:
        _WRITERS[stem](kind, Path(root), clips, _Sounds(seconds, seed, sr))
    elif stem in _MAKES_ITSELF:
        made.download()
    else:
        raise DatasetError(
            f"there is no writer of small {kind.__name__} trees; add a function of (root, clips, sound) that writes its files to "
            f"{__file__} and name it in _WRITERS[{stem!r}]. Known: {', '.join(sorted([*_WRITERS, *_MAKES_ITSELF]))}"
        )
    return made


def check_dataset(dataset: Dataset) -> None:
    """Check a dataset whose files are there; damage is done to copies, so give a small part of it."""
    _check_facts(type(dataset))
    _check_clips(dataset)
    _check_splits(dataset)
    with TemporaryDirectory() as folder:
        _check_validate(dataset, Path(folder))
        _check_label_files(dataset, Path(folder))


def check_feature(feature: FeatureExtractor) -> None:
    """Check a feature with the settings it was made with."""
    for check in (_check_values, _check_frame_grid, _check_settings):
        check(feature)


def check_model(
    container: ModelContainer, *, shape: tuple[int, int] = (64, 40), labels: Sequence[str] = ("a", "b", "c"), new_process: bool = True
) -> None:
    """Check a model: it is built from settings alone, learns, answers, is the same for the same seed, and survives the disk.

    Parameters
    ----------
    container : with the settings to check; it is not changed.
    shape : (frames, dims) of the windows it is tried on.
    labels : at least two.
    new_process : also load it in a fresh interpreter, where its class must be importable.
    """
    model = type(container)(**json.loads(json.dumps(container.settings)))
    _need(json.dumps(model.settings) == json.dumps(container.settings), "settings survive JSON")
    with _refused(TypeError, "an unknown setting", says="no_such_setting"):
        type(container)(**{**container.settings, "no_such_setting": 1})
    with _refused(ModelError, "an unknown setting of train()", says="epoch"):
        model.train((np.zeros((2, *shape)), np.eye(2)), epoch=1)
    x, y = _separable(shape, len(labels))
    _check_training(model, x, y)
    _check_answers(container, model, x, labels)
    with TemporaryDirectory() as folder:
        _check_saved(model, x, Path(folder), new_process=new_process)


class _Sounds:
    """Writes sounds: each label a chord of its own in noise."""

    def __init__(self, seconds: Seconds, seed: int, sr: Hz) -> None:
        self.seconds, self.seed, self.sr = seconds, seed, sr

    def write(self, path: Path, label: int, number: int, *, sr: Hz | None = None, subtype: str = "PCM_16", channels: int = 1) -> None:
        sr = sr or self.sr
        rng = np.random.default_rng((self.seed, label, number))
        time = np.arange(round(self.seconds * sr)) / sr
        pitch = 150 * 1.19 ** (label % 16) * rng.uniform(0.98, 1.02)
        tone = sum(np.sin(2 * np.pi * (k * pitch * time + rng.random())) / k for k in (1, 2, 3))
        sound = 0.2 * tone + rng.normal(0, 0.05, (channels, len(time)))
        audio.write(path, np.clip(sound.T if channels > 1 else sound[0], -1, 1).astype(np.float32), sr, subtype=subtype)


def _write_esc(kind: type[Dataset], root: Path, clips: int, sounds: _Sounds) -> None:
    """ESC-50 and ESC-10: one folder, one table; every second label of ESC-50's tree is one of ESC-10's."""
    targets, ten = discover.load("datasets", "esc50").labels, discover.load("datasets", "esc10").labels
    others = [label for label in targets if label not in ten]
    labels = ten if kind.labels == ten else [*chain.from_iterable(zip(ten, others, strict=False)), *others[len(ten) :]]
    rows = ["filename,fold,target,category,esc10,src_file,take"]
    for number in range(clips):
        source = number // 2
        fold, label, take = 1 + source % 5, labels[source // 5 % len(labels)], "AB"[number % 2]
        name = f"{fold}-{100000 + source}-{take}-{targets.index(label)}.wav"
        rows.append(f"{name},{fold},{targets.index(label)},{label},{label in ten},{100000 + source},{take}")
        sounds.write(root / "audio" / name, labels.index(label), number)
    write_text(root / "meta" / "esc50.csv", "\n".join(rows) + "\n")


def _write_urban_sound8k(kind: type[Dataset], root: Path, clips: int, sounds: _Sounds) -> None:
    """UrbanSound8K: a folder per fold; rates, depths and channels differ."""
    forms = ((sounds.sr, "PCM_16", 1), (sounds.sr, "PCM_24", 2), (sounds.sr * 3 // 2, "FLOAT", 1))
    rows = ["slice_file_name,fsID,start,end,salience,fold,classID,class"]
    for number in range(clips):
        source = number // 2
        fold, label, start = 1 + source % 10, source // 10 % len(kind.labels), number % 2 * sounds.seconds
        name = f"{200000 + source}-{label}-0-{number % 2}.wav"
        rows.append(f"{name},{200000 + source},{start},{start + sounds.seconds},1,{fold},{label},{kind.labels[label]}")
        sr, subtype, channels = forms[source % len(forms)]
        sounds.write(root / "audio" / f"fold{fold}" / name, label, number, sr=sr, subtype=subtype, channels=channels)
    write_text(root / "metadata" / "UrbanSound8K.csv", "\n".join(rows) + "\n")


# Name of a dataset -> what writes a small tree of it. Add yours here.
_WRITERS = {"esc10": _write_esc, "esc50": _write_esc, "urban_sound8k": _write_urban_sound8k}
_MAKES_ITSELF = ("synthetic_sounds",)


def _need(holds: object, sentence: str) -> None:
    if not holds:
        raise ContractError(f"does not hold: {sentence}")


@contextmanager
def _refused(error: type[Exception], what: str, *, says: str = "") -> Iterator[None]:
    try:
        yield
    except error as found:
        _need(says in str(found), f"the error about {what} names {says!r}; it says: {found}")
        return
    except Exception as found:
        raise ContractError(f"does not hold: {what} is refused with {error.__name__}; it raised {found!r}") from found
    raise ContractError(f"does not hold: {what} is refused with {error.__name__}; nothing was raised")


def _check_facts(kind: type[Dataset]) -> None:
    bare = kind("no/such/folder")
    for fact in ("licence", "citation", "labels", "folds", "task", "protocol"):
        _need(getattr(bare, fact, None), f"{kind.__name__} states its {fact}, without any files")
    _need(len((kind.__doc__ or "").strip()) > 80, f"{kind.__name__} has a docstring that is its card: what it is, its folds, its layout")
    _need(len(set(bare.labels)) == len(bare.labels) and len(set(bare.folds)) == len(bare.folds), "labels and folds are named once")
    _need(bare.cite() == kind.citation and bare.license() == kind.licence, "cite() and license() give what the class states")
    with _refused(DatasetError, "reading clips where there are no files", says="download()"):
        _ = bare.clips
    _need(not Path("no").exists(), "constructing writes nothing")


def _check_clips(dataset: Dataset) -> None:
    clips = dataset.clips
    _need(0 < len(clips) == len({clip.id for clip in clips}), "a good tree has clips, with ids of their own")
    _need(not any(str(dataset.root) in clip.id or clip.id.startswith("/") for clip in clips), "ids do not depend on where the files lie")
    for clip in clips:
        found = {*(clip.tags or ()), *(event.label for event in clip.events or ())}
        _need(clip.fold in dataset.folds and found <= set(dataset.labels), f"fold and labels of clip {clip.id!r} are the dataset's")
        tags = sorted((clip.tags or {}).values())
        _need(all(0 <= value <= 1 for value in tags), f"the tags of clip {clip.id!r} lie in [0, 1]")
        if dataset.task == "classification" and clip.tags is not None:
            _need(tags[-1:] == [1.0] and sum(tags) == 1, f"clip {clip.id!r} has exactly one label")
        _need(clip.duration is None or clip.duration > 0, f"the duration of clip {clip.id!r} is positive seconds, or None")
    if dataset.task == "detection":
        _need(any(clip.events is not None for clip in clips), "a dataset for detection knows the times of events")
    _need(dataset.summary()["clips"] == len(clips), "summary() counts the clips")


def _check_splits(dataset: Dataset) -> None:
    for fold in (None, *dataset.protocol.rounds(dataset.present_folds)):
        for validation in (True, False):
            split = dataset.split(fold, validation=validation)
            _need(split.train and split.test, f"round {fold!r} has clips to train and to test on")
            parts = (split.train, split.validation, split.test)
            for what in ("id", "group"):
                held = [{value for clip in part if (value := getattr(clip, what))} for part in parts]
                _need(sum(map(len, held)) == len(set().union(*held)), f"no {what} lies in two parts of round {fold!r}")


def _twin(dataset: Dataset, folder: Path) -> Dataset:
    """Copy a dataset's files, and give a dataset that reads the copy."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(dataset.root, folder, ignore=shutil.ignore_patterns("features", "augmented", "audio[0-9]*"))
    twin = copy.copy(dataset)
    twin.__dict__.pop("clips", None)
    twin.root = twin.cache = folder
    return twin


def _check_validate(dataset: Dataset, folder: Path) -> None:
    _need(dataset.validate(jobs=1) == [], f"validate() finds nothing wrong with a good tree; it found {dataset.validate(jobs=1)}")
    twin = _twin(dataset, folder / "files")
    _need([clip.id for clip in twin.clips] == [clip.id for clip in dataset.clips], "the same files elsewhere give the same ids")
    deleted, damaged, first = twin.clips[-1].path, twin.clips[0].path, twin.clips[1].path
    deleted.unlink()
    damaged.write_text("not audio")
    extra = first.with_name(f"extra{first.suffix}")
    shutil.copy(first, extra)
    found = {(problem.kind, Path(problem.path)) for problem in twin.validate(jobs=1)}
    expected = {("missing", deleted), ("unreadable", damaged), ("extra", extra)}
    _need(found == expected, f"validate() finds what is wrong and nothing else: {expected}; it found {found}")


def _check_label_files(dataset: Dataset, folder: Path) -> None:
    """Damage, in turn, every text file that `clips` needs."""
    needed = 0
    for path in sorted(dataset.root.rglob("*")):
        if path.suffix.lower() in (".csv", ".tsv", ".txt", ".json", ".jams", ".yaml") and not path.name.startswith("."):
            twin = _twin(dataset, folder / "labels")
            file = twin.root / path.relative_to(dataset.root)
            text = file.read_text(encoding="utf-8")
            file.unlink()
            try:
                _ = twin.clips
            except DatasetError as error:
                needed += 1
                says = file.name in str(error) and "download()" in str(error)
                _need(says, f"the error about the missing {file.name} names it and download(); it says: {error}")
                _check_label_text(twin, file, text)
    _need(needed > 0, f"the labels are read from a file below {dataset.root} that is missed when it is not there")


def _check_label_text(twin: Dataset, file: Path, text: str) -> None:
    whole_word = r"(?<![-\w]){}(?![-\w])"
    if known := [label for label in twin.labels if re.search(whole_word.format(re.escape(label)), text)]:
        with _refused(DatasetError, f"an unknown label in {file.name}", says="no_such_label"):
            _reread(twin, file, re.sub(whole_word.format(re.escape(known[0])), "no_such_label", text))
    ids = _reread(twin, file, text)
    delimiter = "\t" if "\t" in text else ","
    rows = [line.split(delimiter) for line in text.splitlines()]
    for column, name in enumerate(rows[0] if file.suffix.lower() in (".csv", ".tsv") else ()):
        try:
            found = _reread(twin, file, "\n".join(delimiter.join(row[:column] + row[column + 1 :]) for row in rows))
        except DatasetError as error:
            _need(file.name in str(error), f"the error about a missing column names {file.name}; it says: {error}")
        else:
            _need(found == ids, f"without column {name!r} of {file.name} the clips are the same, or DatasetError is raised")
    with suppress(DatasetError):
        twice = _reread(twin, file, text.rstrip("\n") + "\n" + text.splitlines()[-1] + "\n")
        _need(len(set(twice)) == len(twice), "a row that occurs twice is refused, or is no clip of its own")


def _reread(twin: Dataset, file: Path, text: str) -> list[str]:
    file.write_text(text, encoding="utf-8")
    twin.__dict__.pop("clips", None)
    return [clip.id for clip in twin.clips]


def _check_values(feature: FeatureExtractor) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 2 * feature.sr).astype(np.float32)
    sounds = {"noise": noise, "silence": np.zeros_like(noise), "full scale": np.sign(noise)}
    for name, sound in sounds.items():
        before = sound.copy()
        frames = feature.compute(sound)
        _need(frames.ndim == 2 and frames.shape[1] == feature.dims, f"{name} gives (frames, dims = {feature.dims}); got {frames.shape}")
        _need(frames.dtype == np.float32 and bool(np.isfinite(frames).all()), f"{name} gives finite float32; got {frames.dtype}")
        _need((sound == before).all(), "compute() leaves its argument as it was")
    _need((feature.compute(noise) == feature.compute(noise)).all(), "the same audio gives the same numbers")
    for name, wrong in {"two channels": np.zeros((len(noise), 2)), "NaN": np.full(len(noise), np.nan), "no samples": noise[:0]}.items():
        with _refused(FeatureError, f"audio with {name}"):
            feature.compute(wrong)
    for samples in (1, feature.audio_win // 2 + 1, feature.audio_win - 1):
        with suppress(FeatureError):
            short = feature.compute(noise[:samples])
            _need(len(short) and np.isfinite(short).all(), f"{samples} samples are refused with FeatureError or give frames")


def _check_frame_grid(feature: FeatureExtractor) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 3 * feature.sr).astype(np.float32)
    whole = feature.compute(noise)
    for size in (997, feature.audio_hop, 4 * feature.audio_win + 1):
        pieces = [noise[first : first + size] for first in range(0, len(noise), size)]
        blocks = np.concatenate(list(feature.compute_blocks(pieces)))
        same = blocks.shape == whole.shape and np.allclose(blocks, whole, rtol=1e-4, atol=1e-4 * np.abs(whole).max())
        _need(same, f"it does not matter where audio is cut into blocks (here each {size} samples)")
    base = len(noise) // 2
    counts = {len(feature.compute(noise[: base + more * feature.audio_hop])) - more for more in range(5)}
    _need(len(counts) == 1, f"each audio_hop more samples give one frame more; frames less what was added: {counts}")
    windows = feature.windows(len(whole))
    shape = (len(windows), feature.sequence_frames or len(whole), feature.dims)
    _need(feature.get_shape(3.0) == shape, f"get_shape(3.0) is (windows, frames, dims) = {shape}; got {feature.get_shape(3.0)}")
    _need(windows[-1] + shape[1] >= len(whole) and windows[0] == 0, "the windows reach from the first frame to the last")


def _check_settings(feature: FeatureExtractor) -> None:
    kind = type(feature)
    settings = json.loads(json.dumps(feature.settings, allow_nan=False))
    again = kind.from_settings(settings)
    _need(again == feature and again.fingerprint == feature.fingerprint, "its settings survive JSON")
    other = [replace(feature, audio_hop=feature.audio_hop + 1), replace(feature, sr=feature.sr * 2)]
    _need(len({feature.fingerprint, *(one.fingerprint for one in other)}) == 3, "another setting gives another fingerprint")
    _need(replace(feature, sequence_time=2.0).fingerprint == feature.fingerprint, "how windows are cut does not change the fingerprint")
    _need(re.fullmatch(r"[\w.-]+", feature.fingerprint) is not None, f"the fingerprint is a file name; got {feature.fingerprint!r}")
    for name, wrong in {"no_such_setting": 1, "audio_hop": 0.01, "sr": -1, "sequence_time": 0.0}.items():
        with _refused(FeatureError, f"{name}={wrong}", says=name):
            kind.from_settings({**settings, name: wrong})


def _separable(shape: tuple[int, int], labels: int, each: int = 12) -> tuple[FloatArray, FloatArray]:
    """Windows that hold the pattern of their label, and noise."""
    rng = np.random.default_rng(0)
    patterns = rng.normal(0, 1, (labels, 1, shape[1]))
    x = np.repeat(patterns, each, axis=0) + rng.normal(0, 0.3, (labels * each, *shape))
    return x.astype(np.float32), np.repeat(np.eye(labels, dtype=np.float32), each, axis=0)


def _check_training(model: ModelContainer, x: FloatArray, y: FloatArray) -> None:
    losses = [record["loss"] for record in model.train((x, y), epochs=6, batch_size=6, device="cpu")]
    _need(len(losses) == 6 and losses[-1] < losses[0], f"training lowers the loss on windows that are easy to tell apart; got {losses}")
    _need(min(model.cost().values()) > 0, f"cost() counts parameters and multiply-accumulates; got {model.cost()}")
    seeded = [copy.copy(model).build(model.shape, model.labels, seed=seed).weights() for seed in (3, 3, 4)]
    same = [all(np.array_equal(seeded[0][name], other[name]) for name in other) for other in seeded]
    _need(same == [True, True, False], "the same seed gives the same weights, another one others")


def _check_answers(container: ModelContainer, model: ModelContainer, x: FloatArray, labels: Sequence[str]) -> None:
    for task in ("classification", "tagging", "detection"):
        built = copy.copy(container).build(model.shape, labels, task=task)
        for scores in built.predict([x[:2], x[2:3]]):
            _need(scores.labels == tuple(labels), "predict gives scores of the labels it was built with")
            _need(bool((np.diff(scores.edges) > 0).all()) and scores.edges[0] == 0, "the edges of scores begin at 0 and ascend")
            _need(((scores.values >= 0) & (scores.values <= 1)).all(), f"answers to {task} lie in [0, 1]")
            one_label = task == "classification"
            _need(not one_label or np.allclose(scores.values.sum(axis=1), 1, atol=1e-4), "answers to classification sum to 1")
    with _refused(ModelError, "a window of other dims"):
        model.predict(np.zeros((1, model.shape[0], model.shape[1] + 1), np.float32))
    with _refused(ModelError, "predicting before training"):
        type(container)(**container.settings).predict(x)


def _check_saved(model: ModelContainer, x: FloatArray, folder: Path, *, new_process: bool) -> None:
    answers = model.answer(x)
    saved = model.save(folder / "model")
    names = sorted(path.name for path in saved.iterdir())
    _need(names == ["model.json", "weights.safetensors"], f"a model is saved as model.json and weights.safetensors; got {names}")
    _need(np.array_equal(load(saved).answer(x), answers), "a loaded model answers the same, bit for bit")
    if new_process:
        np.save(folder / "x.npy", x)
        code = "import sys; sys.path[:] = sys.argv[1:]; import numpy, dcasekit; "
        code += "numpy.save('y.npy', dcasekit.load('model').answer(numpy.load('x.npy')))"
        command = [sys.executable, "-c", code, *sys.path]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603 - our own code
        _need(done.returncode == 0, f"a saved model is loaded by a new process; it said: {done.stderr[-1000:]}")
        _need(np.allclose(np.load(folder / "y.npy"), answers, rtol=0, atol=1e-6), "a model loaded by a new process answers the same")
    _check_damaged(saved)


def _check_damaged(saved: Path) -> None:
    weights, about = saved / "weights.safetensors", saved / "model.json"
    good, found = weights.read_bytes(), json.loads(about.read_text(encoding="utf-8"))
    for what, content in {"changed weights": good[:-1] + bytes([good[-1] ^ 1]), "cut weights": good[:-10], "no weights": b""}.items():
        weights.write_bytes(content)
        with _refused(ModelError, f"a model with {what}"):
            load(saved)
    weights.write_bytes(good)
    feature = {"class": "mel_spectrogram", "settings": {"stft": {"class": "Nothing"}}}
    wrong = {"shape": "big", "scaler": {"normalizer": "standard"}, "class": "subprocess:Popen", "features": feature}
    wrong |= {"labels": [*found["labels"], "one more"], "settings": {**found["settings"], "no_such_setting": 1}}
    texts = [json.dumps({**found, key: value}) for key, value in wrong.items()]
    for text in (*texts, json.dumps({**found, "class": "no_such_model"}), "{", "[]"):
        about.write_text(text, encoding="utf-8")
        with _refused(ModelError, f"the model file {text[:200]!r}"):
            load(saved)
