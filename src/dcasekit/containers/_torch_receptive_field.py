"""Which frames of a window an answer of a PyTorch network depends on: measured, whatever the network is made of."""

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from dcasekit.containers._torch_layers import example, watch


@dataclass(frozen=True, slots=True)
class ReceptiveField:
    """The frames that can change one answer.

    Attributes
    ----------
    frames : from the first to the last frame that can change the answer.
    layer : if these reach an end of the window: the last layer before any whose receptive field reaches an end, such as the last
        convolution before a recurrent layer; ``""``: they reach no end, or there is no such layer.
    layer_frames : the frames that the value in the middle of this layer's output depends on.
    """

    frames: range
    layer: str = ""
    layer_frames: range = field(default=range(0))


@dataclass(frozen=True, slots=True)
class _Guess:
    """Two trials at once: a window without its frames before `first`, and one without those from `stop` on."""

    first: int
    stop: int

    def windows(self, window: Tensor) -> Tensor:
        """Return both copies of a window (frames, dims); what is left out is NaN."""
        windows = torch.stack([window, window])
        windows[0, : self.first] = windows[1, self.stop :] = math.nan
        return windows


def receptive_field(network: nn.Module, shape: tuple[int, int]) -> ReceptiveField:
    """Measure which frames of a window can change an answer; for frame-level outputs, the answer in the middle.

    Kinds of layers do not matter: frames at an end of the window are set to NaN, and every value that depends on them becomes NaN too,
    whatever the weights are. This also holds for values that are multiplied by zero, as behind a mask. The network itself must not answer
    NaN.

    Parameters
    ----------
    network : maps windows (windows, frames, dims) to answers.
    shape : (frames, dims) of a window.
    """
    window = example(1, shape)[0]
    guess = _Guess(min(1, shape[0]), max(shape[0] - 1, 0))  # most networks see the whole window
    reached = _reached(network, guess.windows(window))
    whole = _extent(network, window, "", guess, reached[""])
    layer = ""
    for name, ends in reached.items():
        if ends.any():
            break
        layer = name
    if not layer or (whole.start > 0 and whole.stop < shape[0]):
        return ReceptiveField(whole)
    return ReceptiveField(whole, layer, _extent(network, window, layer, guess, reached[layer]))


def _extent(network: nn.Module, window: Tensor, layer: str, guess: _Guess, ends: Tensor) -> range:
    """Find the frames on which the middle of a layer's output depends, by bisection from both sides.

    Parameters
    ----------
    guess, ends : what was tried first, and which of the two reached the layer.
    """
    # Without the frames before `first` nothing changes, without those before `first_seen` something does; so at the other end.
    first, first_seen = 0, len(window)
    stop, stop_seen = len(window), 0
    while True:
        first, first_seen = (first, guess.first) if ends[0] else (guess.first, first_seen)
        stop, stop_seen = (stop, guess.stop) if ends[1] else (guess.stop, stop_seen)
        if first_seen - first <= 1 and stop - stop_seen <= 1:
            return range(first, max(first, stop))
        guess = _Guess((first + first_seen) // 2, (stop + stop_seen + 1) // 2)
        ends = _reached(network, guess.windows(window))[layer]


def _reached(network: nn.Module, windows: Tensor) -> dict[str, Tensor]:
    """Tell which windows have a NaN in the middle of the output of each layer, and of the network (``""``): (windows,) each."""
    found: dict[str, Tensor] = {}

    def look(name: str, output: Any) -> None:
        found.pop(name, None)
        if isinstance(output, Tensor) and output.shape[:1] == windows.shape[:1]:
            middle = output
            while middle.ndim > 1:
                middle = middle[:, middle.shape[1] // 2]
            found[name] = middle.isnan()

    output = watch(network, windows, look)
    answers: Tensor = output[:, output.shape[1] // 2] if output.ndim == 3 else output
    return {**found, "": answers.isnan().any(-1)}
