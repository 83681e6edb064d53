"""Export: a trained model with its front end as one file that maps waveforms to scores.

`onnx` writes a file for ONNX Runtime, `program` one for `torch.export.load`. Neither needs dcasekit to run. Each file is compared with the
model once after writing, and removed if their scores differ. To use it with NumPy and onnxruntime only::

    session = onnxruntime.InferenceSession("model.onnx")
    about = {name: json.loads(text) for name, text in session.get_modelmeta().custom_metadata_map.items()}
    [scores] = session.run(None, {"waveform": audio[np.newaxis]})  # audio (samples,), float32, mono, at about["sr"] Hz
    print(about["labels"][scores[0].mean(axis=0).argmax()])

The metadata are JSON texts: in an ONNX file one under each of these names, in a program all together in the extra file ``dcasekit.json``.

- ``labels``, ``task``, ``shape``: those of the model.
- ``sr``: sampling rate of the waveform in Hz; ``samples``: how many samples it must have, null: any number.
- ``edges``: borders of the rows of scores in seconds; null if the number of samples is free.
- ``row``: where rows lie if ``edges`` is null. Row 0 lasts from 0 to ``row["first"]`` seconds, every other row ``row["step"]`` seconds, and
  the last one until the end of the recording. null: there is one row for the whole recording.
- ``thresholds``, of a calibrated model: ``best_f1`` and ``precision``, see `dcasekit.containers.calibration.Calibration`.
- ``model``, ``features``: class and settings; ``dcasekit``: the version that wrote the file.
"""

import importlib
import json
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import dcasekit
from dcasekit import audio
from dcasekit.containers.base import ModelContainer
from dcasekit.core import discover
from dcasekit.core.files import replacing
from dcasekit.core.units import FloatArray, PathLike, Seconds
from dcasekit.errors import MissingExtraError, ModelError
from dcasekit.features import FeatureExtractor
from dcasekit.scores import Scores

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.export import ExportedProgram

    from dcasekit.containers.torch import TorchModelContainer

# Largest difference from the model's own scores; of answers beyond [0, 1], such as levels in dB, in proportion to the largest.
_TOLERANCE = 1e-4

_ONNX_BYTES = 2**31  # a file of protocol buffers holds no more

Run = Callable[[FloatArray], FloatArray]


def onnx(model: ModelContainer, path: PathLike, *, seconds: Seconds | None = None) -> Path:
    """Write a model as an ONNX file that holds its weights and its front end; this takes some seconds.

    The input of the file is ``waveform`` (batch, samples), float32, mono, at the sampling rate ``features.sr``. Its output is ``scores``
    (batch, rows, labels), the values of the `Scores` that ``model.predict`` returns for a file with this audio. The Fourier transform is
    computed in float64, as in the library. A model without features, which was trained on arrays, is exported without a front end: its
    input is ``windows`` (batch, frames, dims), and ``scores`` are what ``model.answer`` returns, after calibration if there is one.

    Parameters
    ----------
    model : a trained model of PyTorch, or of `dcasekit.models.keras`, which is exported as its PyTorch twin. Its features must be among
        those of dcasekit that can be exported.
    path : file to write; an existing file is replaced.
    seconds : ``None``: the file takes waveforms of any length from one analysis window on, in batches of any size. A number: it takes
        single waveforms of exactly this length; for networks of your own that can be exported for one length only, such as those that
        loop over the frames of a clip in Python.

    Returns
    -------
    Path : the path of the file.

    Raises
    ------
    ModelError : the model is of another kind or not trained; its features or network cannot be exported, or not for any length; or the
        scores of the file differ from the model's by more than 1e-4. Then no file is written.
    MissingExtraError : onnx, onnxscript or onnxruntime is not installed.
    """
    for package in ("onnx", "onnxscript", "onnxruntime"):
        _import(package, "onnx")
    network, metadata = _choose_module(model, seconds)
    from dcasekit.export.transforms import use_products

    use_products(network)
    if sum(tensor.nbytes for tensor in network.state_dict().values()) >= _ONNX_BYTES:
        raise ModelError(f"the weights of this {type(model).__name__} are more than the 2 GB of an ONNX file; use export.program")
    with _quiet():
        exported = _translate(_trace(network, _example(model, seconds), model, fixed=seconds is not None))
        exported.model.metadata_props.update({name: json.dumps(value) for name, value in metadata.items()})
        with replacing(path) as temporary:
            exported.save(temporary, external_data=False)
            _check(model, seconds, _session(temporary), path)
    return Path(path)


def program(model: ModelContainer, path: PathLike, *, seconds: Seconds | None = None) -> Path:
    """Write a model as a PyTorch program that holds its weights and its front end.

    ``torch.export.load(path).module(check_guards=False)`` is a function that maps a float32 tensor ``waveform`` (batch, samples) to
    ``scores`` (batch, rows, labels), on the CPU. Leave out ``check_guards=False`` before PyTorch 2.9, which does not know it. From 2.9 on
    it is needed for lengths that give, for example, a single window: PyTorch's guards would refuse them, although the program is right
    for them, which is tested when it is written.

    Parameters
    ----------
    model, path, seconds : as for `onnx`.

    Returns
    -------
    Path : the path of the file.

    Raises
    ------
    ModelError : as for `onnx`.
    """
    network, metadata = _choose_module(model, seconds)
    import torch

    with _quiet():
        traced = _trace(network, _example(model, seconds), model, fixed=seconds is not None)
        with replacing(path) as temporary:
            torch.export.save(traced, temporary, extra_files={"dcasekit.json": json.dumps(metadata)})
            loaded = _function(torch.export.load(temporary))
            _check(model, seconds, lambda data: loaded(torch.from_numpy(data)).numpy(), path)
    return Path(path)


def _function(exported: "ExportedProgram") -> Callable[["Tensor"], "Tensor"]:
    """Return the function of a program, for all lengths."""
    try:
        found: Callable[[Tensor], Tensor] = exported.module(check_guards=False)
    except TypeError:  # before PyTorch 2.9, which checks nothing
        found = exported.module()
    return found


def _choose_module(model: ModelContainer, seconds: Seconds | None) -> tuple["nn.Module", dict[str, Any]]:
    """Return the module to export, and what is told about it; refuse what cannot be exported."""
    _import("torch", "torch")
    from dcasekit.export.front_end import WaveformModel, WindowModel

    model = _in_torch(model)
    if seconds is not None and not seconds > 0:
        raise ModelError(f"seconds must be positive, or None for any length; got {seconds}")
    metadata = {
        "labels": model.labels,
        "task": model.task,
        "shape": model.shape,
        "model": {"class": discover.address(type(model)), "settings": model.settings},
        "dcasekit": dcasekit.__version__,
    }
    if model.calibration is not None:
        metadata["thresholds"] = {"best_f1": dict(model.calibration.best_f1), "precision": dict(model.calibration.precision)}
    features = model.features
    if features is None:
        if seconds is not None:
            raise ModelError("a model without features takes windows, not seconds of audio; leave out seconds=")
        return WindowModel(model), metadata
    network = WaveformModel(model, features)
    metadata["features"] = {"class": discover.address(type(features)), "settings": features.settings}
    return network, metadata | _grid(model, features, seconds)


def _in_torch(model: ModelContainer) -> "TorchModelContainer":
    """Return a trained PyTorch model, or the PyTorch twin of one of ``dcasekit.models.keras`` with its weights."""
    from dcasekit.containers.torch import TorchModelContainer

    address = discover.address(type(model))
    of_keras = address.startswith("keras.") and address in discover.names("models")
    if not isinstance(model, TorchModelContainer) and not of_keras:
        raise ModelError(
            f"only models of PyTorch and of dcasekit.models.keras can be exported; {type(model).__name__} is neither: train one of "
            "dcasekit.models"
        )
    if not model.labels:
        raise ModelError(f"this {type(model).__name__} has no network yet; call train() or build() first")
    if isinstance(model, TorchModelContainer):
        return model
    from dcasekit.containers.keras import as_torch

    twin: TorchModelContainer = as_torch(model)
    twin.calibration = model.calibration
    return twin


def _grid(model: "TorchModelContainer", features: FeatureExtractor, seconds: Seconds | None) -> dict[str, Any]:
    """Tell the audio that is expected, and what time each row of scores stands for."""
    per_frame = model.answer(np.zeros((1, *model.shape), np.float32)).ndim == 3
    samples = None if seconds is None else round(seconds * features.sr)
    # Enough frames for three rows, if there can be more than one.
    frames = (features.sequence_frames or 3) + 3 * features.sequence_hop
    grid = features.grid(frames, frames * features.audio_hop / features.sr)
    edges = grid.edges if per_frame else grid.spans
    told: dict[str, Any] = {"sr": features.sr, "samples": samples, "row": None, "edges": None}
    if len(edges) > 2:
        told["row"] = {"first": edges[1], "step": edges[2] - edges[1]}
    if samples is not None:
        grid = features.grid(len(features.compute(np.zeros(samples, np.float32))), samples / features.sr)
        told["edges"] = (grid.edges if per_frame else grid.spans).tolist()
    return told


def _example(model: ModelContainer, seconds: Seconds | None) -> "Tensor":
    """Make an input to trace with: of more than one window, so that nothing in it is 1 by chance."""
    import torch

    features = model.features
    if features is None:
        return torch.zeros(2, *model.shape)
    if seconds is not None:
        return torch.zeros(1, round(seconds * features.sr))
    return torch.zeros(2, _lengths(model, features)[0])


def _lengths(model: ModelContainer, features: FeatureExtractor) -> Sequence[int]:
    """Return the numbers of samples that a file for any length is tried with; with windows, of several and of about half a one."""
    window = model.shape[0] * features.audio_hop
    if features.sequence_frames is None:
        return window, window * 9 // 8 + 1, window * 11 // 7 + 3, window * 3 + 2
    stft = getattr(features, "stft", None)
    shortest = features.audio_win if stft is None else stft.length(features.audio_win)
    several = window + 3 * features.sequence_hop * features.audio_hop + shortest
    return several, max(window * 3 // 5, shortest + 1), several + shortest // 3, several + window // 2 + 1


def _trace(network: "nn.Module", example: "Tensor", model: ModelContainer, *, fixed: bool) -> "ExportedProgram":
    """Record what the network does with an example, for its shape alone or for all like it."""
    import torch

    dynamic = getattr(torch.export.Dim, "DYNAMIC", None)
    if dynamic is None:
        raise ModelError(f"exporting needs PyTorch 2.6 or newer; this is {torch.__version__}: pip install --upgrade torch")
    shape = {} if fixed else {0: dynamic} if model.features is None else {0: dynamic, 1: dynamic}
    try:
        traced = torch.export.export(network, (example,), dynamic_shapes=(shape,), strict=False)
    except (RuntimeError, ValueError, TypeError, LookupError, AssertionError) as error:
        what = "for this length" if fixed else "for any number of windows" if model.features is None else "for any length"
        advice = "" if fixed or model.features is None else "; give seconds=, the length of the clips"
        raise ModelError(f"this {type(model).__name__} cannot be exported {what} ({_first_line(error)}){advice}") from error
    traced.example_inputs = None
    for part in traced.graph_module.modules():
        for node in getattr(getattr(part, "graph", None), "nodes", ()):
            node.meta.pop("stack_trace", None)  # paths of this machine
    return traced


def _translate(traced: "ExportedProgram") -> Any:
    """Translate a program to ONNX."""
    import torch

    (name,) = traced.graph_signature.user_inputs
    names = ({0: "batch", 1: "samples"} if name == "waveform" else {0: "batch"},)
    pooling = torch.ops.aten.adaptive_max_pool2d.default
    try:
        if any(node.target is pooling for node in traced.graph.nodes):
            traced = traced.run_decompositions({pooling: _adaptive_max_pool2d})
        exported: Any = torch.onnx.export(
            traced,
            dynamo=True,
            verbose=False,
            input_names=[name],
            output_names=["scores"],
            dynamic_shapes=names,
        )
    except (RuntimeError, ValueError, TypeError, LookupError, AssertionError) as error:
        raise ModelError(f"PyTorch cannot translate this network to ONNX ({_first_line(error)}); use export.program") from error
    graph = exported.model.graph
    if not isinstance(graph.outputs[0].shape[1], int):
        graph.outputs[0].shape[1] = "rows"  # instead of a formula
    for part in (graph, *graph.all_nodes()):
        part.metadata_props.clear()  # notes of the translation
    return exported


def _adaptive_max_pool2d(maps: "Tensor", size: Sequence[int]) -> tuple["Tensor", "Tensor"]:
    """Take the maxima of `size` parts of a map, each one an operation; ONNX has none for all."""
    import torch

    for axis, parts in ((-2, size[0]), (-1, size[1])):
        length = maps.shape[axis]
        # Rounded up without negative numbers: ONNX divides towards 0.
        borders = [(part * length // parts, ((part + 1) * length + parts - 1) // parts) for part in range(parts)]
        maps = torch.cat([maps.narrow(axis, begin, end - begin).amax(axis, keepdim=True) for begin, end in borders], axis)
    return maps, torch.zeros_like(maps, dtype=torch.int64)  # where they were: nobody asks


def _session(path: Path) -> Run:
    """Open an ONNX file."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda data: session.run(None, {name: data})[0]


def _check(model: ModelContainer, seconds: Seconds | None, run: Run, path: PathLike) -> None:
    """Compare what a file answers with what the model does."""
    rng = np.random.default_rng(0)
    if model.features is None:
        data = rng.standard_normal((3, *model.shape), np.float32)
        cases = [(data, model._answer(data))]
    elif seconds is None:
        lengths = _lengths(model, model.features)
        cases = [_case(model, model.features, rng, 1 + (length == max(lengths)), length) for length in lengths]
    else:
        cases = [_case(model, model.features, rng, 1, round(seconds * model.features.sr))]
    for data, expected in cases:
        found = run(data)
        if found.shape != expected.shape:
            raise ModelError(
                f"{path} was not written: its scores for {data.shape} have the shape {found.shape}, the model's {expected.shape}"
            )
        difference = np.abs(found - expected).max() / max(1.0, np.abs(expected).max())
        if not difference <= _TOLERANCE:
            raise ModelError(
                f"{path} was not written: its scores for an input of {data.shape} differ from the model's by {difference:.2g}, more than "
                f"{_TOLERANCE:g}. Give seconds=, the length of the clips, if you have not; else look in the network for a step that makes "
                "much of 1e-6, or for an answer() that it overrides"
            )


def _case(
    model: ModelContainer, features: FeatureExtractor, rng: np.random.Generator, batch: int, samples: int
) -> tuple[FloatArray, FloatArray]:
    """Make noise with silence at both ends (batch, samples), and what the model predicts from files of it."""
    noise = 0.1 * rng.standard_normal((batch, samples), np.float32)
    noise[:, : samples // 10] = noise[:, samples - samples // 10 :] = 0
    with tempfile.TemporaryDirectory() as folder:
        files = [audio.write(Path(folder) / f"{n}.wav", one, features.sr, subtype="FLOAT") for n, one in enumerate(noise)]
        scores: list[Scores] = model.predict(files)
    return noise, np.stack([one.values for one in scores])


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back what PyTorch's exporters tell about themselves."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _import(package: str, extra: str) -> Any:
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise MissingExtraError(package, extra) from error
