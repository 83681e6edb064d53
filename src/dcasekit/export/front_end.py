"""Features, windows and scores as PyTorch modules: a batch of waveforms in, the numbers of `ModelContainer.predict` out.

Written for `torch.export`: no branch depends on a length, so one graph serves recordings of any length, also shorter than a window.
"""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dcasekit.containers.calibration import LEAST, Calibration
from dcasekit.containers.torch import TorchModelContainer
from dcasekit.errors import ModelError
from dcasekit.export.transforms import Energy
from dcasekit.features import MFCC, STFT, FeatureExtractor, FramesAudio, LoopedMel, MelSpectrogram, NaturalLog, RawAudio, Spectrogram
from dcasekit.generator.scaler import LEAST_DEVIATION, LEAST_RANGE, Scaler

_WINDOWS = {"hann": torch.hann_window, "hamming": torch.hamming_window, "blackman": torch.blackman_window}


class WaveformModel(nn.Module):
    """A model with its front end: waveforms (batch, samples) -> scores (batch, rows, labels)."""

    def __init__(self, model: TorchModelContainer, features: FeatureExtractor) -> None:
        super().__init__()
        self.front_end = front_end(features)
        self.cut = _Cut(features)
        self.scale = _make_scale(model.scaler, model.shape[1])
        self.answer = WindowModel(model)
        self.join = _Join(features)

    def forward(self, waveform: Tensor) -> Tensor:
        """Answer waveforms (batch, samples)."""
        frames = self.front_end(waveform)  # (batch, frames, dims)
        count, kept = self.cut.windows(frames.shape[1], waveform.shape[1])
        windows = self.scale(self.cut(frames, count, kept))  # (batch, windows, frames, dims)
        answers: Tensor = self.answer(windows.flatten(0, 1)).unflatten(0, (windows.shape[0], windows.shape[1]))
        return self.join(answers, kept) if answers.ndim == 4 else answers


class WindowModel(nn.Module):
    """A network and its activation: windows (batch, frames, dims) -> what `TorchModelContainer.answer` gives."""

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
        """Answer windows (windows, frames, dims)."""
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


def front_end(features: FeatureExtractor) -> nn.Module:
    """Make the module of a feature: (batch, samples) -> (batch, frames, dims)."""
    form = _FORMS.get(type(features))
    if form is None:
        known = ", ".join(kind.__name__ for kind in _FORMS)
        raise ModelError(
            f"the feature {type(features).__name__} cannot be exported; {known} can. To export the network alone, which takes windows of "
            "the feature, set model.features = None first"
        )
    return form(features)


class _Spectra(nn.Module):
    """Energy or magnitude (batch, frames, bins), float32; in float32 the transform itself would miss what lies 80 dB below a loud tone."""

    window: Tensor

    def __init__(self, stft: STFT, audio_win: int, audio_hop: int) -> None:
        super().__init__()
        self.stft, self.hop, self.n_fft = stft, audio_hop, stft.length(audio_win)
        self.energy: nn.Module = Energy(self.n_fft, audio_hop)
        window = torch.ones(audio_win, dtype=torch.float64)
        if make := _WINDOWS.get(stft.window):
            window = make(audio_win, periodic=stft.periodic, dtype=torch.float64)
        left = (self.n_fft - audio_win) // 2
        self.register_buffer("window", nn.functional.pad(window, (left, self.n_fft - audio_win - left)))

    def prepare(self, audio: Tensor) -> Tensor:
        """Return audio as frames are cut from it, in float64."""
        if self.stft.offset:
            audio = audio + self.stft.offset
        if self.stft.pre_emphasis:
            audio = audio[:, 1:] - self.stft.pre_emphasis * audio[:, :-1]
        audio = audio.double()
        if self.stft.center:
            audio = nn.functional.pad(audio, (self.n_fft // 2, self.n_fft // 2), mode=self.stft.pad)
        return audio

    def forward(self, audio: Tensor) -> Tensor:
        energy: Tensor = self.energy(self.prepare(audio), self.window)
        return (energy.sqrt() if self.stft.power == 1 else energy).float()


class _Spectral(nn.Module):
    """Spectrogram, MelSpectrogram, MFCC: spectra, a product, a logarithm, another product."""

    def __init__(self, features: Spectrogram | MelSpectrogram | MFCC) -> None:
        super().__init__()
        self.log, self.power = features.log, features.stft.power
        self.spectra = _Spectra(features.stft, features.audio_win, features.audio_hop)
        self.bands: nn.Module = nn.Identity()
        self.finish: nn.Module = nn.Identity()
        if not isinstance(features, Spectrogram):
            self.bands = _make_product(features.bands(np.eye(self.spectra.n_fft // 2 + 1, dtype=np.float32)))
        if isinstance(features, MFCC):
            self.finish = _make_product(features.finish(np.eye(features.mel.bands, dtype=np.float32)))

    def forward(self, audio: Tensor) -> Tensor:
        levels: Tensor = self.finish(self._logarithm(self.bands(self.spectra(audio))))
        return levels

    def _logarithm(self, values: Tensor) -> Tensor:
        log = self.log
        if log is None:
            return values
        if isinstance(log, NaturalLog):
            if log.mode == "zeros":
                return values.where(values != 0, log.floor).log()
            if log.mode == "add":  # as 1 beside values / floor: the translation to ONNX drops an addition of almost nothing
                return (values / log.floor + 1).log() + math.log(log.floor)
            return values.clamp_min(log.floor).log()
        levels = values.clamp_min(log.amin).log() * (20 / self.power / math.log(10))
        reference = levels.amax((1, 2), keepdim=True) if log.ref == "max" else 20 / self.power * math.log10(max(log.ref, log.amin))
        levels = levels - reference
        return levels if log.top_db is None else levels.maximum(levels.amax((1, 2), keepdim=True) - log.top_db)


class _Looped(_Spectral):
    """LoopedMel: the part that sounds, repeated to the clip's length, its mean energy at 0 dB."""

    def __init__(self, features: LoopedMel) -> None:
        super().__init__(features)
        self.depth, self.floor = features.depth, features._floor

    def forward(self, audio: Tensor) -> Tensor:
        levels = super().forward(audio)
        floor = levels.amin((1, 2))[:, None] if self.floor is None else self.floor
        sounding = levels.amax(2) > floor + 5  # (batch, frames)
        frames, number = levels.shape[1], torch.arange(levels.shape[1])
        first = number.where(sounding, frames).amin(1, keepdim=True)
        last = number.where(sounding, -1).amax(1, keepdim=True)
        looped = first + number % (last - first + 1).clamp(min=1)
        looped = looped.clamp(max=frames - 1)[:, :, None].expand(-1, -1, levels.shape[2])
        energy = (levels.double() * (math.log(10) / 10)).exp().mean(2)
        count = sounding.sum(1, keepdim=True)[:, :, None]
        mean = 10 * torch.log10((energy * sounding).sum(1)[:, None, None] / count)
        return (levels.gather(1, looped) - mean.float()).clamp_min(-self.depth).where(count > 0, -self.depth)


class _Waveform(nn.Module):
    """RawAudio: pieces of `audio_hop` samples, the last filled up with zeros."""

    def __init__(self, features: RawAudio) -> None:
        super().__init__()
        self.hop = features.audio_hop

    def forward(self, audio: Tensor) -> Tensor:
        frames = (audio.shape[1] + self.hop - 1) // self.hop
        return nn.functional.pad(audio, (0, self.hop - 1))[:, : frames * self.hop].unflatten(1, (frames, self.hop))


class _Frames(nn.Module):
    """FramesAudio: frames before the transform."""

    def __init__(self, features: FramesAudio) -> None:
        super().__init__()
        self.spectra = _Spectra(features.stft, features.audio_win, features.audio_hop)

    def forward(self, audio: Tensor) -> Tensor:
        frames = self.spectra.prepare(audio).unfold(1, self.spectra.n_fft, self.spectra.hop)
        return (frames * self.spectra.window).float()


_FORMS: Mapping[type[FeatureExtractor], Callable[[Any], nn.Module]] = {
    MelSpectrogram: _Spectral,
    LoopedMel: _Looped,
    Spectrogram: _Spectral,
    MFCC: _Spectral,
    FramesAudio: _Frames,
    RawAudio: _Waveform,
}


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


def _make_scale(scaler: Scaler | None, dims: int) -> nn.Module:
    if scaler is None:
        return nn.Identity()
    if scaler.per_window:
        return _WindowDeviation() if scaler.normalizer == "window" else _WindowRange()
    return _Scale(*scaler._parameters((dims,)))


class _WindowDeviation(nn.Module):
    """`Scaler("window").transform`."""

    def forward(self, windows: Tensor) -> Tensor:
        values = windows.double()
        values = values - values.mean(-2, keepdim=True)
        deviation = (values.square().sum(-2, keepdim=True) / torch.sym_max(values.shape[-2] - 1, 1)).sqrt()
        return (values / deviation.clamp_min(LEAST_DEVIATION)).float()


class _WindowRange(nn.Module):
    """`Scaler("window_minmax").transform`."""

    def forward(self, windows: Tensor) -> Tensor:
        values = windows.double()
        low, high = values.amin((-2, -1), keepdim=True), values.amax((-2, -1), keepdim=True)
        return ((values - low) / (high - low + LEAST_RANGE)).float()


class _Scale(nn.Module):
    """`Scaler.transform`, in float64 as there."""

    offset: Tensor
    scale: Tensor

    def __init__(self, offset: Any, scale: Any) -> None:
        super().__init__()
        self.register_buffer("offset", torch.as_tensor(offset, dtype=torch.float64))
        self.register_buffer("scale", torch.as_tensor(scale, dtype=torch.float64))

    def forward(self, windows: Tensor) -> Tensor:
        return ((windows.double() - self.offset) / self.scale).float()


def _make_product(matrix: Any) -> nn.Linear:
    """Make the product with a matrix (inputs, outputs)."""
    inputs, outputs = matrix.shape
    layer = nn.Linear(inputs, outputs, bias=False).requires_grad_(requires_grad=False)
    layer.weight.copy_(torch.from_numpy(matrix).T)
    return layer
