"""A model with its windows and scores as a PyTorch module: a batch of waveforms in, the numbers of `ModelContainer.predict` out.

Written for `torch.export`: no branch depends on a length, so one graph serves recordings of any length, also shorter than a window.
"""

import copy
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dcasekit.containers.calibration import LEAST, Calibration
from dcasekit.containers.front_ends import front_end, make_scale
from dcasekit.containers.torch import TorchModelContainer
from dcasekit.features import FeatureExtractor


class WaveformModel(nn.Module):
    """A model with its front end as a module: waveforms (batch, samples) -> scores (batch, rows, labels)."""

    def __init__(self, model: TorchModelContainer, features: FeatureExtractor) -> None:
        super().__init__()
        self.front_end = front_end(features)
        self.cut = _Cut(features)
        self.scale = make_scale(model.scaler, model.shape[1])
        self.answer = WindowModel(model)
        self.join = _Join(features)

    def forward(self, waveform: Tensor) -> Tensor:
        """Return scores (batch, rows, labels) for waveforms (batch, samples)."""
        frames = self.front_end(waveform)  # (batch, frames, dims)
        count, kept = self.cut.windows(frames.shape[1], waveform.shape[1])
        windows = self.scale(self.cut(frames, count, kept))  # (batch, windows, frames, dims)
        answers: Tensor = self.answer(windows.flatten(0, 1)).unflatten(0, (windows.shape[0], windows.shape[1]))
        return self.join(answers, kept) if answers.ndim == 4 else answers


class WindowModel(nn.Module):
    """A network with its activation and calibration: windows (batch, frames, dims) -> scores (batch, [frames,] labels)."""

    def __init__(self, model: TorchModelContainer) -> None:
        super().__init__()
        self.network = copy.deepcopy(model.network).cpu().eval().requires_grad_(requires_grad=False)  # type: ignore[union-attr]
        self.activation = self._activation(model)
        self.calibrate: nn.Module = nn.Identity() if model.calibration is None else _Calibrated(model.calibration)

    @staticmethod
    def _activation(model: TorchModelContainer) -> Callable[[Tensor], Tensor]:
        if type(model).answer is not TorchModelContainer.answer:
            return lambda answers: answers  # an answer of its own: taken to be the network's, as that of a learned front end is
        if getattr(model.network, "activation", None) == "none":
            return lambda answers: answers.clamp(0, 1)
        return (lambda logits: logits.softmax(-1)) if model.task == "classification" else torch.sigmoid

    def forward(self, windows: Tensor) -> Tensor:
        """Return scores for windows (windows, frames, dims)."""
        answers: Tensor = self.calibrate(self.activation(self.network(windows)))
        return answers


class _Calibrated(nn.Module):
    """A model's calibration: scores (..., labels) to the same."""

    temperatures: Tensor
    starts: Tensor
    values: Tensor
    slopes: Tensor

    def __init__(self, calibration: Calibration) -> None:
        super().__init__()
        self.by_temperature, self.exclusive = calibration.kind == "temperature", calibration.exclusive
        self.register_buffer("temperatures", torch.tensor(calibration.temperatures, dtype=torch.float64))
        # Of each label: where straight parts begin, the share there, and how steep they are.
        parts = [_straight_parts(curve) for curve in calibration.curves]
        most = max((len(each[0]) for each in parts), default=0)
        filled = [[np.pad(row, (0, most - len(row)), constant_values=0.0 if n else 2.0) for n, row in enumerate(each)] for each in parts]
        for name, rows in zip(("starts", "values", "slopes"), zip(*filled, strict=True) if filled else ([], [], []), strict=True):
            self.register_buffer(name, torch.tensor(np.array(rows), dtype=torch.float64))

    def forward(self, scores: Tensor) -> Tensor:
        scores = scores.double()
        if self.by_temperature:
            scores = scores.clamp(LEAST, 1 - LEAST)
            if self.exclusive:
                return (scores.log() / self.temperatures).softmax(-1).float()
            return torch.sigmoid((scores.log() - torch.log1p(-scores)) / self.temperatures).float()
        beyond = (scores.unsqueeze(-1) - self.starts).clamp(min=0)
        inside = beyond[..., :1].new_tensor(1.0) * (scores.unsqueeze(-1) >= self.starts)
        following = torch.cat([inside[..., 1:], torch.zeros_like(inside[..., :1])], -1)
        mapped = ((inside - following) * (self.values + beyond * self.slopes)).sum(-1)
        if self.exclusive:
            mapped = mapped.clamp(min=LEAST)
            mapped = mapped / mapped.sum(-1, keepdim=True)
        return mapped.float()


def _straight_parts(curve: Sequence[Sequence[float]]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    x, y = np.array(curve).T
    return np.append(-1.0, x), np.append(y[0], y), np.concatenate([[0.0], np.diff(y) / np.diff(x), [0.0]])


class _Cut(nn.Module):
    """`Grid.cut`: (batch, frames, dims) -> (batch, windows, frames, dims)."""

    def __init__(self, features: FeatureExtractor) -> None:
        super().__init__()
        self.length, self.step, self.hop = features.sequence_frames, features.sequence_hop, features.audio_hop
        self.least_rest = features.grid(1, 0.0).least_rest

    def windows(self, computed: int, samples: int) -> tuple[int, int]:
        """Count the windows and the frames of a waveform of which so many frames were computed, as `Grid` does."""
        begun = torch.sym_max(torch.sym_min(computed, (samples + self.hop - 1) // self.hop), 1)
        if self.length is None:
            return 1, begun
        whole = torch.sym_min(computed, samples // self.hop)
        count = 1 + (torch.sym_max(whole - self.length, 0) + self.step - self.least_rest) // self.step
        return count, torch.sym_min(begun, (count - 1) * self.step + self.length)

    def forward(self, frames: Tensor, count: int, kept: int) -> Tensor:
        if self.length is None:
            return frames[:, None, :kept]
        start = torch.arange(count)[:, None] * self.step
        last = (kept - 1 - start).clamp(max=self.length - 1)  # of the window's own frames; to and fro between it and the first
        place = torch.arange(self.length) % (2 * last).clamp(min=1)
        place = torch.minimum(place, 2 * last - place)
        return frames[:, (start + place).flatten()].unflatten(1, (count, self.length))


class _Join(nn.Module):
    """`Grid.join` for networks that answer frames: (batch, windows, steps, labels) -> (batch, frames, labels)."""

    def __init__(self, features: FeatureExtractor) -> None:
        super().__init__()
        self.length, self.hop = features.sequence_frames, features.sequence_hop

    def forward(self, answers: Tensor, frames: int) -> Tensor:
        windows, steps = answers.shape[1], answers.shape[2]
        number = torch.arange(frames)
        if self.length is None:
            return answers[:, 0, number * steps // frames]
        answers = answers.flatten(1, 2)
        total, count = torch.zeros(()), torch.zeros(frames, 1)
        for back in range(-(-self.length // self.hop)):  # the windows a frame lies in, from the last of them
            window = number // self.hop - back
            place = number - window * self.hop
            inside = (window >= 0) & (window < windows) & (place < self.length)
            index = (window * steps + place * steps // self.length).where(inside, 0)
            total = total + answers[:, index] * inside[:, None]
            count = count + inside[:, None]
        return total / count
