"""Concatenated in Keras: two networks in series, such as a learned front end and a classifier."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import keras

from dcasekit.containers.keras import KerasModelContainer
from dcasekit.containers.summary import Published
from dcasekit.core import discover
from dcasekit.datasets.base import Task
from dcasekit.errors import ModelError


@dataclass(kw_only=True, eq=False)
class Concatenated(KerasModelContainer):
    """Two networks in series, trained as one; twin of `dcasekit.models.Concatenated`, which has a longer description.

    The input is that of the first network, the output that of the second. The parameters are those of both, and 4 more per band with
    `batch_norm`.

    Parameters
    ----------
    first, second : a Keras model, or its description as in a model file: ``{"class": "smel", "settings": {"sr": 22050}}``; the name has no
        ``keras.``, so that the PyTorch twin has the same settings.
    bands : number of outputs of the first network, which are the dims of the second.
    batch_norm : normalise each band between the two by batch statistics, with a learned scale and shift.

    Examples
    --------
    >>> from dcasekit.models.keras import SB_CNN_SED, SMel
    >>> model = Concatenated(first=SMel(), second=SB_CNN_SED())
    >>> model.build((64, 1024), list("abcdefghij")).cost()["parameters"] == 131_200 + 1_129_290
    True
    """

    published_front_end: ClassVar[str | None] = "smel"
    PUBLISHED_FOR: ClassVar[Published] = Published(
        shape=(64, 1024), task="detection", hop=512 / 22050, settings={"first": {"class": "smel"}, "second": {"class": "sb_cnn_sed"}}
    )

    first: KerasModelContainer | Mapping[str, Any] = field(default_factory=lambda: {"class": "smel"})
    second: KerasModelContainer | Mapping[str, Any] = field(default_factory=lambda: {"class": "sb_cnn_sed"})
    bands: int = 128
    batch_norm: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.first, self.second = _describe(self.first), _describe(self.second)

    def network_for(self, frames: int, dims: int, outputs: int, task: Task) -> keras.Model:
        """Make both networks; the second takes the outputs of the first."""
        first = _make_container(self.first).network_for(frames, dims, self.bands, task)
        shape = first.compute_output_shape((None, frames, dims))
        if len(shape) != 3:
            raise ModelError(
                f"the output of the first of two models in series must be (windows, frames, dims); that of {self.first} is {shape}"
            )
        second = _make_container(self.second).network_for(shape[1], self.bands, outputs, task)
        first.name, second.name = "first", "second"
        windows = keras.Input((frames if second.inputs[0].shape[1] else None, dims))
        answer = first(windows)
        if self.batch_norm:
            answer = keras.layers.BatchNormalization(name="between")(answer)
        network = keras.Model(windows, second(answer))
        network.activation = getattr(second, "activation", None)
        return network


def _describe(model: KerasModelContainer | Mapping[str, Any]) -> Mapping[str, Any]:
    """Write a model as it stands in a model file."""
    if isinstance(model, KerasModelContainer):
        model = {"class": discover.address(type(model)), "settings": model.settings}
    if isinstance(model, Mapping) and set(model) <= {"class", "settings"} and "class" in model:
        return {"class": str(model["class"]).removeprefix("keras."), "settings": dict(model.get("settings", {}))}
    raise ModelError(f"a model in series is a Keras model or {{'class': name, 'settings': {{...}}}}; got {model!r}")


def _make_container(described: Any) -> KerasModelContainer:
    """Make the model; nothing but a model may be called."""
    kind = discover.load("models" if ":" in described["class"] else "models.keras", described["class"])
    if not (isinstance(kind, type) and issubclass(kind, KerasModelContainer)):
        raise ModelError(f"a model in series must be a Keras model; {described['class']!r} is not one")
    return kind(**described["settings"])
