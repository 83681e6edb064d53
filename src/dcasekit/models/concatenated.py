"""Concatenated: two networks in series, such as a learned front end and a classifier."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from dcasekit.containers.summary import Published
from dcasekit.containers.torch import TorchModelContainer
from dcasekit.core import discover
from dcasekit.datasets.base import Task
from dcasekit.errors import ModelError


@dataclass(kw_only=True, eq=False)
class Concatenated(TorchModelContainer):
    """Two networks in series, trained as one; DCASE-models' ConcatenatedModel.

    P. Zinemanas, P. Cancela, M. Rocamora, "End-to-end Convolutional Neural Networks for Sound Event Detection in Urban Environments",
    FRUCT 2019: `SMel` or `MST` in front of `SB_CNN_SED`.

    The input is that of the first network, the output that of the second. The parameters are those of both, and 4 more per band with
    `batch_norm`; initial weights are those of each. The first network must output (windows, frames, bands), as a learned front end does.

    Parameters
    ----------
    first, second : a PyTorch model, or its description as in a model file: ``{"class": "smel", "settings": {"sr": 22050}}``. The attributes
        hold descriptions. The defaults are the published pair.
    bands : number of outputs of the first network, which are the dims of the second.
    batch_norm : normalise each band between the two by batch statistics, with a learned scale and shift.

    Examples
    --------
    >>> from dcasekit.models import SB_CNN_SED, SMel
    >>> model = Concatenated(first=SMel(), second=SB_CNN_SED())
    >>> model.build((64, 1024), list("abcdefghij")).cost()["parameters"] == 131_200 + 1_129_290
    True
    """

    published_front_end: ClassVar[str | None] = "smel"
    PUBLISHED_FOR: ClassVar[Published] = Published(
        shape=(64, 1024), task="detection", hop=512 / 22050, settings={"first": {"class": "smel"}, "second": {"class": "sb_cnn_sed"}}
    )

    first: TorchModelContainer | Mapping[str, Any] = field(default_factory=lambda: {"class": "smel"})
    second: TorchModelContainer | Mapping[str, Any] = field(default_factory=lambda: {"class": "sb_cnn_sed"})
    bands: int = 128
    batch_norm: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.first, self.second = _describe(self.first), _describe(self.second)

    def network_for(self, frames: int, dims: int, outputs: int, task: Task) -> nn.Module:
        """Make both networks; the second takes the outputs of the first."""
        first = _make_container(self.first).network_for(frames, dims, self.bands, task)
        with torch.no_grad():
            answer = first.eval()(torch.zeros(1, frames, dims))
        if answer.ndim != 3:
            raise ModelError(
                f"the output of the first of two models in series must be (windows, frames, dims); that of {self.first} is {answer.shape}"
            )
        return _Network(first, _make_container(self.second).network_for(answer.shape[1], self.bands, outputs, task), self)


class _Network(nn.Module):
    def __init__(self, first: nn.Module, second: nn.Module, settings: Concatenated) -> None:
        super().__init__()
        self.first = first
        self.between = nn.BatchNorm1d(settings.bands, eps=1e-3, momentum=0.01) if settings.batch_norm else None
        self.second = second
        self.activation = getattr(second, "activation", None)

    def forward(self, x: Tensor) -> Tensor:
        answer = self.first(x)  # (windows, frames, bands)
        if self.between is not None:
            answer = self.between(answer.transpose(1, 2)).transpose(1, 2)
        logits: Tensor = self.second(answer)
        return logits

    def penalty(self) -> Tensor | float:
        return sum((getattr(network, "penalty", float)() for network in (self.first, self.second)), start=0.0)


def _describe(model: TorchModelContainer | Mapping[str, Any]) -> Mapping[str, Any]:
    """Write a model as it stands in a model file."""
    if isinstance(model, TorchModelContainer):
        return {"class": discover.address(type(model)), "settings": model.settings}
    if set(model) <= {"class", "settings"} and "class" in model:
        return {"class": model["class"], "settings": dict(model.get("settings", {}))}
    raise ModelError(f"a model in series is a model or {{'class': name, 'settings': {{...}}}}; got {model!r}")


def _make_container(described: Any) -> TorchModelContainer:
    """Make the model; nothing but a model may be called."""
    kind = discover.load("models", described["class"])
    if not (isinstance(kind, type) and issubclass(kind, TorchModelContainer)):
        raise ModelError(f"a model in series must be a PyTorch model; {described['class']!r} is not one")
    return kind(**described["settings"])
