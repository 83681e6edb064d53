"""Check that a model keeps its contract."""

import copy
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcasekit.containers.base import ModelContainer, load
from dcasekit.containers.saving import check_constructor
from dcasekit.core.units import FloatArray
from dcasekit.errors import ModelError
from dcasekit.testing._contract import ContractError, expect_refusal, need


def check_model(
    container: ModelContainer,
    *,
    shape: tuple[int, int] = (64, 40),
    labels: Sequence[str] = ("a", "b", "c"),
    new_process: bool = True,
    loss: str | None = None,
    learning_rate: float = 3e-4,
) -> None:
    """Check that a model keeps the contract of all models.

    It is built from its settings alone, learns, predicts, gives the same weights for the same seed, lists its layers, can be fine-tuned,
    and is the same after saving and loading. A model without layers must raise ModelError when they are asked for.

    Parameters
    ----------
    container : a model with the settings to check; it is not changed.
    shape : (frames, dims) of the windows to try it on.
    labels : labels to try it with, at least two.
    new_process : also load the model in a new Python process, which must be able to import its class.
    loss : ``"mse"`` for a learned front end, whose outputs are levels (windows, frames, bands) with one band per label. Its initial weights
        may be the same for every seed. ``None``: a model that outputs scores of labels.
    learning_rate : learning rate at which a few steps lower the loss.

    Raises
    ------
    ContractError : something does not hold.
    """
    try:
        check_constructor(type(container))
    except ModelError as error:
        raise ContractError(f"does not hold: a model can be loaded again. {error}") from None
    model = type(container)(**json.loads(json.dumps(container.settings)))
    need(json.dumps(model.settings) == json.dumps(container.settings), "settings survive JSON")
    with expect_refusal(ModelError, "an unknown setting", says="no_such_setting"):
        type(container)(**{**container.settings, "no_such_setting": 1})
    with expect_refusal(ModelError, "an unknown setting of train()", says="epoch"):
        model.train((np.zeros((2, *shape)), np.eye(2)), epoch=1)
    x, y = _separable(shape, len(labels))
    if loss == "mse":
        y = copy.copy(model).build(shape, labels, seed=1).answer(x) / np.float32(2)
    how = {"loss": loss, "learning_rate": learning_rate, "batch_size": 6, "device": "cpu"}
    _check_training(model, x, y, how)
    _check_answers(container, model, x, labels, levels=loss == "mse")
    with TemporaryDirectory() as folder:
        _check_saved(model, x, Path(folder), new_process=new_process)
    try:
        layers = list(model.layers())
    except ModelError:
        _check_without_layers(model, x, y)
    else:
        _check_layers(model, x, layers)
        _check_fine_tuning(model, x, y, layers, how)


def _separable(shape: tuple[int, int], labels: int, each: int = 12) -> tuple[FloatArray, FloatArray]:
    """Windows that hold the pattern of their label, and noise."""
    rng = np.random.default_rng(0)
    patterns = rng.normal(0, 1, (labels, 1, shape[1]))
    x = np.repeat(patterns, each, axis=0) + rng.normal(0, 0.3, (labels * each, *shape))
    return x.astype(np.float32), np.repeat(np.eye(labels, dtype=np.float32), each, axis=0)


def _check_training(model: ModelContainer, x: FloatArray, y: FloatArray, how: Mapping[str, Any]) -> None:
    losses = [record["loss"] for record in model.train((x, y), epochs=6, **how)]
    # What is trained at once gives one record: its loss must be lower than that of a guess.
    guess = [np.log(y.shape[1])] if len(losses) == 1 else []
    need(len(guess + losses) in (2, 6), f"training gives a record for each of 6 epochs, or one for all; got {len(losses)}")
    need(losses[-1] < [*guess, *losses][0], f"training lowers the loss on windows that are easy to tell apart; got {losses}")
    broken = x.copy()
    broken[-1, -1, -1] = np.nan
    with expect_refusal(ModelError, "training on windows one of which holds NaN", says="NaN"):
        copy.copy(model).train((broken, y), epochs=1, **how)
    need(min(model.cost().values()) > 0, f"cost() counts parameters and multiply-accumulates; got {model.cost()}")
    for array in model.weights().values():
        array[...] = 0
    need(any(np.any(array) for array in model.weights().values()), "weights() is a copy: changing it changes no model")
    seeded = [copy.copy(model).build(model.shape, model.labels, seed=seed).weights() for seed in (3, 3, 4)]
    need(_same(seeded[0], seeded[1]), "the same seed gives the same weights, another one others")
    if seeded[0]:
        need(how["loss"] == "mse" or not _same(seeded[0], seeded[2]), "the same seed gives the same weights, another one others")
    else:  # nothing is drawn before training
        again = copy.copy(model)
        again.train((x, y), epochs=len(losses), **how)
        need(_same(again.weights(), model.weights()), "training with the same seed gives the same weights")


def _check_without_layers(model: ModelContainer, x: FloatArray, y: FloatArray) -> None:
    with expect_refusal(ModelError, "embed of a model without layers", says="no layers"):
        model.embed("x", x)
    with expect_refusal(ModelError, "fine_tune of a model without layers", says="no layers"):
        model.fine_tune((x, y), epochs=1)


def _check_layers(model: ModelContainer, x: FloatArray, layers: Sequence[str]) -> None:
    shapes = model.layers()
    for layer in {layers[0], layers[-1]}:
        found = [(array.shape, str(array.dtype)) for array in model.embed(layer, [x[:2], x[2:3]])]
        need(
            found == [((count, *shapes[layer]), "float32") for count in (2, 1)],
            f"embed gives for each clip the windows' outputs, of the shape of {layer} in layers(); got {found}",
        )
    with expect_refusal(ModelError, "a layer that is not there", says=layers[-1]):
        model.embed("no such layer", x)


def _check_fine_tuning(model: ModelContainer, x: FloatArray, y: FloatArray, layers: Sequence[str], how: Mapping[str, Any]) -> None:
    """Tune copies of a model to tell the first of its labels from all else."""
    before = model.weights()
    # Another number of labels than the model's, whose head would be known by nothing else.
    labels = ("first", "other") if y.shape[-1] != 2 else ("first", "other", "never")
    first = y[..., 0]
    data = (x, np.stack([first, 1 - first, 0 * first][: len(labels)], axis=-1))

    def tune(freeze: str) -> ModelContainer:
        found = copy.copy(model)
        found.fine_tune(data, labels=labels, freeze=freeze, epochs=1, seed=1, **how)
        need(found.predict(x[:1])[0].labels == labels, "fine_tune replaces the labels")
        return found

    weights = tune("all").weights()
    new = {name.rpartition(".")[0] for name, array in weights.items() if name not in before or array.shape != before[name].shape}
    head = {name for name in weights if name.rpartition(".")[0] in new}
    need(bool(head), "fine_tune replaces the head")
    moved = [name for name, array in weights.items() if name not in head and not np.array_equal(array, before[name])]
    need(not moved, f"fine_tune with freeze='all' trains the head alone; it changed {', '.join(moved)}")
    if head.isdisjoint(kept := model.weights_until(layers[0])):
        weights = tune(layers[0]).weights()
        need(_same(weights, tune(layers[0]).weights()), "fine_tune with the same seed gives the same weights")
        moved = [name for name, array in weights.items() if name not in head and not np.array_equal(array, before[name])]
        need(not set(kept).intersection(moved), f"fine_tune with freeze={layers[0]!r} keeps {', '.join(kept)}")
        need(bool(moved), f"fine_tune with freeze={layers[0]!r} trains what comes after that layer")
    need(_same(model.weights(), before), "fine_tune of a copy leaves the model alone")
    with expect_refusal(ModelError, "freezing up to a layer that is not there", says="no such layer"):
        model.fine_tune(data, freeze="no such layer")
    with expect_refusal(ModelError, "fine-tuning on windows of other dims"):
        model.fine_tune((x[..., :-1], y), epochs=1)


def _same(one: Mapping[str, NDArray[Any]], other: Mapping[str, NDArray[Any]]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(array, other[name]) for name, array in one.items())


def _check_answers(container: ModelContainer, model: ModelContainer, x: FloatArray, labels: Sequence[str], *, levels: bool) -> None:
    for task in ("classification", "tagging", "detection"):
        built = copy.copy(container).build(model.shape, labels, task=task)
        for scores in built.predict([x[:2], x[2:3]]):
            need(scores.labels == tuple(labels), "predict gives scores of the labels it was built with")
            need(bool((np.diff(scores.edges) > 0).all()) and scores.edges[0] == 0, "the edges of scores begin at 0 and ascend")
            need(levels or bool(((scores.values >= 0) & (scores.values <= 1)).all()), f"answers to {task} lie in [0, 1]")
            one_label = task == "classification" and not levels
            need(not one_label or np.allclose(scores.values.sum(axis=1), 1, atol=1e-4), "answers to classification sum to 1")
    _check_batches(model, x)
    with expect_refusal(ModelError, "a window of other dims"):
        model.predict(np.zeros((1, model.shape[0], model.shape[1] + 1), np.float32))
    with expect_refusal(ModelError, "predicting before training"):
        type(container)(**container.settings).predict(x)


def _check_batches(model: ModelContainer, x: FloatArray) -> None:
    """Ask about clips of one and of many windows, among them bad ones, together and one by one."""
    short, broken, wide = x[:, : 2 * x.shape[1] // 3], x[:2].copy(), x[:1, :, :-1]
    broken[1, 0, 0] = np.nan
    clips = [x[:1], broken, x[1:8], short[:3], wide, x[8:9], x[9:]]
    for clip, (_, found) in zip(clips, model.predict_each(clips), strict=True):
        if clip is broken or clip is wide:
            need(isinstance(found, ModelError), f"a clip with NaN, or of other dims, gets a ModelError and stops no other; got {found!r}")
            continue
        (alone,) = [found for _, found in model.predict_each([clip])]
        if isinstance(alone, Exception) or isinstance(found, Exception):
            need(
                type(alone) is type(found) and len(clip[0]) != len(x[0]),
                f"windows as long as those it learned from are answered: {found!r}",
            )
            continue
        same = found.values.shape == alone.values.shape and np.allclose(found.values, alone.values, rtol=1e-4, atol=1e-5)
        need(same, "it does not matter which clips are answered together")


def _check_saved(model: ModelContainer, x: FloatArray, folder: Path, *, new_process: bool) -> None:
    answers = model.answer(x)
    saved = model.save(folder / "model")
    names = sorted(path.name for path in saved.iterdir() if not path.name.startswith("."))
    need(names == ["model.json", "weights.safetensors"], f"a model is saved as model.json and weights.safetensors; got {names}")
    need(np.array_equal(load(saved, allow=[type(model)]).answer(x), answers), "a loaded model answers the same, bit for bit")
    if new_process:
        np.save(folder / "x.npy", x)
        code = "import sys; sys.path[:] = sys.argv[1:]; import numpy, dcasekit; "
        code += f"numpy.save('y.npy', dcasekit.load('model', allow=[{type(model).__module__!r}]).answer(numpy.load('x.npy')))"
        command = [sys.executable, "-c", code, *sys.path]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603 - our own code
        need(done.returncode == 0, f"a saved model is loaded by a new process; it said: {done.stderr[-1000:]}")
        need(np.allclose(np.load(folder / "y.npy"), answers, rtol=0, atol=1e-6), "a model loaded by a new process answers the same")
    _check_damaged(saved)


def _check_damaged(saved: Path) -> None:
    weights, about = saved / "weights.safetensors", saved / "model.json"
    good, found = weights.read_bytes(), json.loads(about.read_text(encoding="utf-8"))
    for what, content in {"changed weights": good[:-1] + bytes([good[-1] ^ 1]), "cut weights": good[:-10], "no weights": b""}.items():
        weights.write_bytes(content)
        with expect_refusal(ModelError, f"a model with {what}"):
            load(saved)
    weights.write_bytes(good)
    feature = {"class": "mel_spectrogram", "settings": {"stft": {"class": "Nothing"}}}
    wrong = {"shape": "big", "scaler": {"normalizer": "standard"}, "class": "subprocess:Popen", "features": feature}
    wrong |= {"labels": [*found["labels"], "one more"], "settings": {**found["settings"], "no_such_setting": 1}}
    texts = [json.dumps({**found, key: value}) for key, value in wrong.items()]
    for text in (*texts, json.dumps({**found, "class": "no_such_model"}), "{", "[]"):
        about.write_text(text, encoding="utf-8")
        with expect_refusal(ModelError, f"the model file {text[:200]!r}"):
            load(saved)
