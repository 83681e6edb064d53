"""A container around a PyTorch network of one's own."""

import copy
import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import torch
from torch import nn

from dcasekit.containers._torch_layers import example
from dcasekit.containers.torch import TorchModelContainer
from dcasekit.core.units import PathLike
from dcasekit.datasets.base import Task
from dcasekit.errors import ModelError, first_line

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class TorchModel(TorchModelContainer):
    """Make a model of any `torch.nn.Module`: it is trained, evaluated, exported and saved like all others.

    A copy of the network is used with its present weights, so a pretrained network is trained further; parameters that do not require a
    gradient stay as they are. The ``seed`` of `train` sets the order of the windows and dropout only. dcasekit cannot know which layers are
    the head: for other labels, change the network yourself and make a new `TorchModel` of it.

    Parameters
    ----------
    network : maps (windows, frames, dims) to logits (windows, labels) or (windows, frames, labels); see `TorchModelContainer` for
        ``penalty`` and ``activation``.

    Examples
    --------
    >>> import numpy as np
    >>> model = TorchModel(nn.Sequential(nn.Flatten(), nn.LazyLinear(2))).build((20, 64), ("dog", "cat"))
    >>> model.answer(np.zeros((3, 20, 64))).shape
    (3, 2)

    The weights are saved, the code is not: to load the model, pass a network with the same layers, ``load(folder, network=...)``.
    """

    network: nn.Module = field(kw_only=False)  # the one that was given, until there is one that is built

    def __post_init__(self) -> None:
        if not isinstance(self.network, nn.Module):
            raise ModelError(f"TorchModel takes a network, a torch.nn.Module; got {self.network!r}")
        self._given = self.network
        super().__post_init__()

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Name and checksum of the network, so that a run cannot be resumed with another network."""
        digest = hashlib.sha256(repr(self._given).encode())
        for name, tensor in self._given.state_dict().items():
            if not isinstance(tensor, nn.UninitializedParameter | nn.UninitializedBuffer):
                digest.update(name.encode() + tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
        kind = type(self._given)
        return {"network": f"{kind.__module__}.{kind.__qualname__}", "sha256": digest.hexdigest()}

    @classmethod
    def _made_from(cls, settings: Mapping[str, Any], network: Any) -> Self:
        if network is None:
            raise ModelError(f"this is a network of your own, {settings.get('network')}: make it and pass it, load(folder, network=...)")
        return cls(network)

    def network_for(self, frames: int, dims: int, outputs: int, task: Task) -> nn.Module:
        """Copy the network; check that it takes windows of (frames, dims) and has as many outputs as there are labels."""
        network = copy.deepcopy(self._given).cpu().eval()
        try:
            with torch.no_grad():
                answer = network(example(2, (frames, dims)))
        except Exception as error:
            raise ModelError(f"the network does not take windows (windows, {frames}, {dims}): {first_line(error)}") from error
        shape = tuple(getattr(answer, "shape", ()))
        if len(shape) not in (2, 3) or shape[0] != 2 or shape[-1] != outputs:
            raise ModelError(
                f"the network gives {shape or type(answer).__name__} for 2 windows of {frames} frames and {dims} dims; "
                f"(2, {outputs}) or (2, frames, {outputs}) is needed for {outputs} labels of {task}"
            )
        return network

    def save(self, folder: PathLike, *, half: bool = False) -> Path:
        """Write the model like any other, see `ModelContainer.save`; the code of the network is not written."""
        written = super().save(folder, half=half)
        _log.warning("to load it again, make the network and pass it: load(%r, network=...)", str(written))
        return written

    def _allocate(self, *_: Any, **__: Any) -> None:
        """Tell nothing: the network is there, and its weights are compared when they are set."""
