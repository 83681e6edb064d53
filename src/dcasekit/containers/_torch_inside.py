"""Looking inside a PyTorch network: its layers, what they give, what they cost."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from dcasekit.containers._torch_layers import layer_output, layer_shapes, weights_until
from dcasekit.containers.base import ModelContainer
from dcasekit.core.units import FloatArray
from dcasekit.errors import ModelError

# Windows answered at once when predicting: bounds memory, changes nothing else.
_WINDOWS_PER_ANSWER = 256


@dataclass(kw_only=True, eq=False)
class TorchInside(ModelContainer):
    """The part of a PyTorch container that reads a network and changes nothing."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.network: nn.Module | None = None

    def layers(self) -> dict[str, tuple[int, ...]]:
        """Return the modules that output a tensor whose first axis is the windows: name -> shape; see `Backend.layers`."""
        return layer_shapes(self._need(), *(next(self._parts(np.zeros((count, *self.shape), np.float32))) for count in (2, 3)))

    def activations(self, windows: FloatArray, layer: str) -> FloatArray:
        """Return the output of a module for windows; see `Backend.activations`."""
        return np.concatenate([layer_output(self._need(), part, layer).float().cpu().numpy() for part in self._parts(windows)])

    def weights_until(self, layer: str) -> tuple[str, ...]:
        """Name the weights of all modules that the forward pass uses up to and including a layer; see `Backend.weights_until`."""
        return weights_until(self._need(), next(self._parts(np.zeros((2, *self.shape), np.float32))), layer)

    def cost(self) -> dict[str, int]:
        """Count trainable parameters, and multiply-accumulates for one window (convolutions, products, recurrences; no additions)."""
        from torch.utils.flop_counter import FlopCounterMode

        network = self._need().eval()
        window = torch.zeros(1, *self.shape, device=next(network.parameters()).device)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:  # not inference mode, in which PyTorch 2.4 counts nothing
            network(window)
        parameters = sum(p.numel() for p in network.parameters() if p.requires_grad)
        return {"parameters": parameters, "macs": counter.get_total_flops() // 2}

    def _parts(self, windows: FloatArray) -> Iterator[Tensor]:
        """Yield as many windows as are answered at once, where the network is."""
        device = next(self._need().parameters()).device
        for first in range(0, len(windows), _WINDOWS_PER_ANSWER):
            yield torch.from_numpy(windows[first : first + _WINDOWS_PER_ANSWER].astype(np.float32)).to(device)

    def _need(self) -> nn.Module:
        self._need_network()
        if self.network is None:
            raise ModelError("the network is missing; call build()")
        return self.network
