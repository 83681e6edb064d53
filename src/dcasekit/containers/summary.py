"""What a model is made of, costs and sees: its layers, their sizes and multiply-accumulates, memory, receptive field."""

import copy
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np

from dcasekit.containers.base import ModelContainer
from dcasekit.core import discover
from dcasekit.core.tables import Table
from dcasekit.core.units import Seconds
from dcasekit.datasets.base import Task
from dcasekit.errors import ModelError

# Of the DCASE challenges' tasks of low complexity, 2022 to 2024.
_MOST_BYTES, _MOST_MACS = 128_000, 30_000_000

TRAINING_BATCH = 32  # windows of the batch for which the memory of training is estimated


@dataclass(frozen=True, kw_only=True)
class Published:
    """The input and output that a model was published for; a model states them in its class attribute ``PUBLISHED_FOR``.

    Parameters
    ----------
    shape : (frames, dims) of a window.
    labels : number of outputs.
    task : what the outputs mean.
    hop : seconds from one frame to the next; ``None``: not stated.
    settings : settings of the model that have no default.
    """

    shape: tuple[int, int]
    labels: int = 10
    task: Task = "classification"
    hop: Seconds | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of a model; its parameters and operations do not include those of layers inside it.

    Attributes
    ----------
    name : as in `ModelContainer.layers`; ``""``: what the network does between its layers.
    kind : name of its class; ``""``: unknown.
    output : shape of its output for one window, at its last use; ``None``: it is not used, or does not output one array.
    uses : how often it is used for one window.
    trained, not_trained : number of parameters that an optimizer changes, and of others, such as running statistics.
    macs : multiply-accumulates for one window; ``None``: known only for the whole model.
    """

    name: str
    kind: str
    output: tuple[int, ...] | None
    uses: int
    trained: int
    not_trained: int
    macs: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Structure and cost of a model, as `summary` returns it; printed, it is a table.

    What can be measured inside PyTorch models only is ``None`` for others.

    Attributes
    ----------
    model, settings : name of the class, and the settings of its architecture.
    shape, hop : (frames, dims) of a window; seconds from one frame to the next, ``None`` if unknown.
    task, output : what the outputs mean; shape of the output for one window, (labels,) or (steps, labels).
    steps : how many different answers a window gets: fewer than its steps if each answer is repeated for several frames.
    layers : in the order of the forward pass; empty for a model without layers.
    trained, not_trained, weight_bytes : number of parameters that an optimizer changes, number of others (running statistics), and bytes of
        both.
    macs : multiply-accumulates for one window, as `Backend.cost` counts them: convolutions, products and recurrences, without biases and
        normalisation.
    macs_torchinfo : multiply-accumulates as the tool torchinfo counts them, which several publications quote: the parameters, biases
        included, once per position of a convolution or frame of a recurrent layer; those of all other layers once, even of dense layers
        that answer every frame.
    prediction_bytes : the largest memory of all arrays at once while one window is answered, with its input, but without the weights.
    training_bytes : memory for a batch of 32 windows in single precision: weights, gradients, Adam's two moments, and what the forward pass
        keeps for the gradient. Workspaces of single operations and the framework itself come on top. For eight networks of dcasekit, a
        step took 0.98 to 1.12 times this estimate, not counting the framework.
    receptive_field : the frames of the input that can change one answer (of several answers: the one in the middle of the window).
    local_layer, local_receptive_field : if the receptive field reaches an end of the window: the last layer before any whose own reaches
        one, and the frames that the value in the middle of its output depends on.
    """

    model: str
    settings: Mapping[str, Any]
    shape: tuple[int, int]
    hop: Seconds | None
    task: Task
    output: tuple[int, ...]
    steps: int
    layers: tuple[Layer, ...]
    trained: int
    not_trained: int
    weight_bytes: int
    macs: int
    macs_torchinfo: int | None = None
    prediction_bytes: int | None = None
    training_bytes: int | None = None
    receptive_field: range | None = None
    local_layer: str = ""
    local_receptive_field: range | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values; the keys will not change."""
        local = self._field(self.local_receptive_field)
        return {
            "model": self.model,
            "settings": self.settings,
            "shape": list(self.shape),
            "hop": self.hop,
            "task": self.task,
            "output": list(self.output),
            "labels": self.output[-1],
            "answers": self.output[0] if len(self.output) == 2 else 1,
            "different_answers": self.steps,
            "answers_per_second": None if self.hop is None else self.steps / (self.shape[0] * self.hop),
            "parameters": {"trained": self.trained, "not_trained": self.not_trained, "bytes": self.weight_bytes},
            "macs": self.macs,
            "macs_torchinfo": self.macs_torchinfo,
            "low_complexity": self.low_complexity,
            "memory": {"prediction": self.prediction_bytes, "training": self.training_bytes, "training_batch": TRAINING_BATCH},
            "receptive_field": self._field(self.receptive_field),
            "local_receptive_field": local and {"layer": self.local_layer, **local},
            "layers": [{**asdict(layer), "output": layer.output and list(layer.output)} for layer in self.layers],
        }

    @property
    def low_complexity(self) -> dict[str, bool]:
        """Whether the model keeps the limits of DCASE's low-complexity tasks: 128 kB of weights, and 30 million multiply-accumulates.

        The keys are ``weights`` (as they are), ``weights_int8`` (as 8-bit integers) and ``macs``.
        """
        numbers = self.trained + self.not_trained
        return {"weights": self.weight_bytes <= _MOST_BYTES, "weights_int8": numbers <= _MOST_BYTES, "macs": self.macs <= _MOST_MACS}

    def facts(self) -> dict[str, str]:
        """Return the totals as text: name -> sentence."""
        frames, dims = self.shape
        found = {
            "input": f"{frames:,} frames x {dims:,} dims"
            + ("" if self.hop is None else f": {frames * self.hop:.4g} s, {self.hop:.3g} s per frame"),
            "output": self._answers(),
            "parameters": f"{self.trained:,} trained" + (f", {self.not_trained:,} not trained" if self.not_trained else ""),
            "weights": _size(self.weight_bytes),
            "MACs": f"{self.macs:,} multiply-accumulates for one window",
        }
        if not self.weight_bytes:
            found["parameters"] = found["weights"] = "none yet: it is made by training"
        if self.macs_torchinfo is not None and self.macs_torchinfo != self.macs:
            found["MACs"] += f"; {self.macs_torchinfo / 1e6:,.3f} M as torchinfo counts: biases too, dense layers once, not per frame"
        kept = {name: "yes" if fits else "no" for name, fits in self.low_complexity.items()}
        if self.weight_bytes:
            found["DCASE's limits"] = f"128 kB of weights: {kept['weights']}, of 8 bits: {kept['weights_int8']}; 30 M MACs: {kept['macs']}"
        if self.prediction_bytes is not None and self.training_bytes is not None:
            found["memory, 1 window"] = f"{_size(self.prediction_bytes)}: the most that tensors take at once, besides the weights"
            found["memory, training"] = (
                f"{_size(self.training_bytes)} for a batch of {TRAINING_BATCH}: weights, gradients, Adam's two moments, and what the "
                "forward pass keeps; workspaces of single operations come on top"
            )
        if self.receptive_field is not None:
            found["receptive field"] = self._describe_field(self.receptive_field)
        if self.local_receptive_field is not None:
            found["local field"] = f"{_frames(self.local_receptive_field, self.hop)}, up to the layer '{self.local_layer}'"
        if not self.layers:
            found["layers"] = "none that can be looked into: totals only"
        elif self.prediction_bytes is None:
            found["not measured"] = "MACs of each layer, memory and receptive field: of PyTorch models only"
        return found

    def table(self) -> Table:
        """Return a table with a row for each layer; columns that would be empty are left out.

        Layers that have no parameters or operations and do not change the shape, such as activations and dropout, are left out, too.
        """
        rows: list[tuple[str, ...]] = []
        before: tuple[int, ...] | None = None
        for layer in self.layers:
            own = (layer.trained, layer.not_trained, layer.macs)
            if any(own) or layer.output != before:
                name = (layer.name or "(between layers)") + (f" ({layer.uses} times)" if layer.uses > 1 else "")
                shape = " x ".join(map(str, layer.output or ())) or ("-" if layer.uses or not layer.name else "not used")
                rows.append((name, layer.kind, shape, *(f"{number:,}" if number else "-" for number in own)))
            before = layer.output or before
        columns = ("layer", "kind", "output", "trained", "other", "MACs")
        kept = [index for index in range(len(columns)) if index < 3 or any(row[index] != "-" for row in rows)]
        return Table([columns[index] for index in kept], [[row[index] for index in kept] for row in rows])

    def __str__(self) -> str:
        facts = "\n".join(f"{name:16}  {text}" for name, text in self.facts().items())
        return f"{self.table()}\n\n{facts}" if self.layers else facts

    def _answers(self) -> str:
        frames, text = self.shape[0], f"{self.output[-1]:,} label{'s' * (self.output[-1] > 1)} for {self.task}: "
        if len(self.output) == 1:
            return f"{text}one output per window"
        text += "one output per frame" if self.output[0] == frames else f"{self.output[0]:,} outputs per window"
        if self.steps < self.output[0]:
            text += f", of which {self.steps:,} differ: each is held for several frames"
        return text + ("" if self.hop is None else f"; {self.steps / (frames * self.hop):.4g} per second")

    def _describe_field(self, seen: range) -> str:
        frames = self.shape[0]
        if not seen:
            return "no frame: the output is always the same"
        if len(seen) == frames:
            return f"the whole window: {_frames(seen, self.hop)}"
        text = _frames(seen, self.hop)
        if seen.start == 0 or seen.stop == frames:
            text += f" of {frames:,}, numbers {seen.start:,} to {seen.stop - 1:,}"
            text += "" if len(self.output) == 1 else f", for output {self.output[0] // 2:,} of 0 to {self.output[0] - 1:,}"
        return text + ("; the others have no influence" if len(self.output) == 1 else "")

    def _field(self, seen: range | None) -> dict[str, Any] | None:
        if seen is None:
            return None
        seconds = None if self.hop is None else len(seen) * self.hop
        return {"frames": len(seen), "first": seen.start, "stop": seen.stop, "whole": len(seen) == self.shape[0], "seconds": seconds}


def summary(model: ModelContainer) -> Summary:
    """Describe a model: its layers, parameters, multiply-accumulates, memory and receptive field. The model is not changed.

    The receptive field is measured, see `Summary`. The seconds per frame are those of the model's features; without features, those of the
    published front end if that has the same number of dims.

    Parameters
    ----------
    model : a model after `build`, `train` or `load`.

    Raises
    ------
    ModelError : the model has no network yet, or its network does not take windows of the shape it was built for.

    Examples
    --------
    >>> from dcasekit.models import MLP
    >>> found = summary(MLP(hidden_layers_size=(8,), dropout_rates=(0.5,)).build((4, 3), ("dog", "rain")))
    >>> [(layer.kind, layer.output, layer.trained, layer.macs) for layer in found.layers if layer.macs]
    [('Linear', (4, 8), 32, 96), ('Linear', (4, 2), 18, 64)]
    >>> found.trained, found.macs, found.receptive_field
    (50, 160, range(0, 4))
    """
    if not model.labels:
        raise ModelError(f"this {type(model).__name__} has no network yet; call train() or build() first")
    weights = model.weights().values()
    size = sum(array.nbytes for array in weights)
    known: dict[str, Any] = {"model": discover.address(type(model)), "settings": model.settings, "shape": model.shape, "hop": _hop(model)}
    known |= {"task": model.task, "weight_bytes": size}
    # By name: no backend is imported for models of another.
    if any(kind.__module__ == "dcasekit.containers.torch" for kind in type(model).__mro__):
        return Summary(**known, **_measure(model, size))
    cost = model.cost()
    known |= {"macs": cost["macs"], "trained": cost["parameters"], "not_trained": sum(array.size for array in weights) - cost["parameters"]}
    output = model.answer(np.zeros((1, *model.shape), np.float32)).shape[1:]
    keras = any(kind.__module__ == "dcasekit.containers.keras" for kind in type(model).__mro__)
    return Summary(**known, output=output, steps=1 if len(output) == 1 else output[0], layers=_list_keras_layers(model) if keras else ())


def published(kind: type) -> Published | None:
    """Return the ``PUBLISHED_FOR`` of a model's class; ``None``: it has none."""
    found: Published | None = getattr(kind, "PUBLISHED_FOR", None)
    return found


def _measure(model: Any, size: int) -> dict[str, Any]:
    """Look into the network of a PyTorch model with weights of so many bytes: a copy of it, on the CPU."""
    from dcasekit.containers._torch_costs import bytes_for_gradient, count_different, layer_costs, predict
    from dcasekit.containers._torch_layers import example
    from dcasekit.containers._torch_receptive_field import receptive_field

    network = copy.deepcopy(model.network).cpu()
    try:
        window = example(1, model.shape)
        prediction, costs, kept = predict(network, window), layer_costs(network, window), bytes_for_gradient(network, model.shape)
        # What answers NaN by itself tells nothing by NaN.
        field = None if prediction.answer.isnan().any() else receptive_field(network, model.shape)
    except (RuntimeError, ValueError, IndexError) as error:  # torch's, for windows too small for a layer, or too large for the memory
        reason = str(error).splitlines()[0]
        raise ModelError(f"{type(model).__name__} cannot predict windows of {model.shape} (frames, dims): {reason}") from error
    trained = sum(cost.trained for cost in costs)
    return {
        "layers": tuple(Layer(**{each.name: getattr(cost, each.name) for each in fields(Layer)}) for cost in costs),
        "output": tuple(prediction.answer.shape[1:]),
        "steps": count_different(prediction.answer[0]),
        "trained": trained,
        "not_trained": sum(cost.not_trained for cost in costs),
        "macs": sum(cost.macs for cost in costs),
        "macs_torchinfo": sum(cost.macs_torchinfo for cost in costs),
        "prediction_bytes": prediction.peak_bytes,
        # The weights once more as gradients and twice as Adam's moments: 12 bytes of single precision.
        "training_bytes": size + 12 * trained + TRAINING_BATCH * kept,
        "receptive_field": field and field.frames,
        "local_layer": field.layer if field else "",
        "local_receptive_field": field.layer_frames if field and field.layer else None,
    }


def _list_keras_layers(model: Any) -> tuple[Layer, ...]:
    """Return the layers of a Keras model in the order in which they act."""
    shapes, found = model.layers(), []
    for layer in model.network.layers:
        numbers, trained = (sum(math.prod(each.shape) for each in weights) for weights in (layer.weights, layer.trainable_weights))
        if layer.name in shapes or numbers:
            found.append(Layer(layer.name, type(layer).__name__, shapes.get(layer.name), 1, trained, numbers - trained, None))
    return tuple(found)


def _hop(model: ModelContainer) -> Seconds | None:
    if model.features is not None:
        return model.features.audio_hop / model.features.sr
    stated = published(type(model))
    return stated.hop if stated is not None and stated.shape[1] == model.shape[1] else None


def _frames(seen: range, hop: Seconds | None) -> str:
    text = f"{len(seen):,} frame" + ("s" if len(seen) != 1 else "")
    return text if hop is None else f"{text} ({len(seen) * hop:.4g} s)"


def _size(count: int) -> str:
    return f"{count / 1e9:.3g} GB" if count >= 1e9 else f"{count / 1e6:.3g} MB"
