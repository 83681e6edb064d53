"""Smaller files for small machines: a network's weights as 8-bit integers, and what that costs."""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dcasekit import audio
from dcasekit.containers.base import ModelContainer
from dcasekit.core.files import replacing
from dcasekit.core.units import FloatArray, PathLike
from dcasekit.errors import MissingExtraError, ModelError
from dcasekit.scores import Scores

# Operations whose weights are rounded.
_WEIGHED = ("Conv", "MatMul", "Gemm", "LSTM")


def quantize(path: PathLike, to: PathLike) -> Path:
    """Quantise the weights of an exported network to 8-bit integers.

    Activations are quantised while the network runs (dynamic quantisation). The front end stays as it is. The weights take a quarter of the
    bytes, but the scores differ from the model's: measure how much with `run_file` and `compare`, or evaluate them as `Results`.

    Parameters
    ----------
    path : an ONNX file that `dcasekit.export.onnx` wrote.
    to : file to write; an existing file is replaced.

    Returns
    -------
    Path : the path of the new file.

    Raises
    ------
    ModelError : the file has no weights that could be quantised.
    MissingExtraError : onnx or onnxruntime is not installed.
    """
    try:
        import onnx
        from onnxruntime.quantization import QuantType, quantize_dynamic
    except ImportError as error:
        raise MissingExtraError("onnxruntime", "onnx") from error
    nodes = onnx.load(str(path)).graph.node
    own = [any(name.startswith(("answer.network.", "network.")) for name in node.input) for node in nodes]
    first = own.index(True) if True in own else len(own)  # all before is front end
    weighed = [node.name for node in nodes[first:] if node.op_type in _WEIGHED]
    if not weighed:
        raise ModelError(f"{path} has no {', '.join(_WEIGHED)} with weights of a network; export a PyTorch model with dcasekit.export.onnx")
    with replacing(to) as temporary:
        level = logging.root.manager.disable
        logging.disable(logging.WARNING)  # it recommends what the exporter has done
        try:  # convolutions of integers know unsigned weights alone
            kinds = list(_WEIGHED)
            quantize_dynamic(str(path), str(temporary), kinds, nodes_to_quantize=weighed, weight_type=QuantType.QUInt8)
        finally:
            logging.disable(level)
        _session(temporary)
    return Path(to)


def run_file(model: ModelContainer, path: PathLike, files: Iterable[PathLike]) -> list[Scores]:
    """Score audio files with an exported ONNX file, to compare its scores with those of ``model.predict``.

    Parameters
    ----------
    model : the model that was exported; only the time grid of its features is used.
    path : the ONNX file.
    files : audio files.

    Returns
    -------
    list of `Scores`, one per file.

    Raises
    ------
    ModelError : the model has no features, so the file takes windows instead of waveforms.
    AudioError : a file cannot be read.
    """
    if model.features is None:
        raise ModelError("a model without features takes windows, not recordings: run its export with onnxruntime itself")
    session, found = _session(path), []
    for file in files:
        sound, _ = audio.read(file, sr=model.features.sr)
        [values] = session.run(None, {"waveform": sound[np.newaxis]})
        frames = sum(map(len, model.features.compute_file(file)))
        grid = model.features.grid(frames, audio.info(file).duration)
        edges = grid.spans if len(values[0]) == len(grid.starts) else grid.edges
        found.append(Scores(values[0], edges, model.labels))
    return found


def compare(first: Sequence[Scores], second: Sequence[Scores]) -> dict[str, float]:
    """Compare two lists of scores for the same recordings.

    Returns
    -------
    dict : ``mean_difference`` and ``largest_difference`` (absolute, over all scores), and ``same_label``, the share of rows in which the
        label with the highest score is the same.
    """
    pairs = [(one.values, other.values) for one, other in zip(first, second, strict=True)]
    differences = np.concatenate([np.abs(one - other).ravel() for one, other in pairs])
    same = np.concatenate([one.argmax(axis=1) == other.argmax(axis=1) for one, other in pairs])
    return {"mean_difference": float(differences.mean()), "largest_difference": float(differences.max()), "same_label": float(same.mean())}


def noises(model: ModelContainer, count: int = 8) -> list[FloatArray]:
    """Make noises of several colours and levels, three windows long, to compare a model's files where there are no recordings.

    Parameters
    ----------
    model : a model with features, whose windows and sampling rate decide the length.
    count : number of noises.

    Returns
    -------
    list of arrays (samples,), float32, in [-1, 1]; the same on every call.
    """
    rng = np.random.default_rng(0)
    features: Any = model.features
    samples = 3 * (features.sequence_frames or model.shape[0]) * features.audio_hop
    return [
        (10 ** (-n / 4) * np.convolve(rng.standard_normal(samples), np.ones(1 + 3 * n) / (1 + n), "same")).clip(-1, 1).astype(np.float32)
        for n in range(count)
    ]


def _session(path: PathLike) -> Any:
    import onnxruntime

    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
