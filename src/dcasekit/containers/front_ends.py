"""Features and scalers as PyTorch modules: a batch of waveforms in, the library's numbers out, on whatever device they are.

Written for `torch.export`, too: no branch depends on a length, so one graph serves recordings of any length.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dcasekit.errors import ModelError
from dcasekit.features import MFCC, STFT, FeatureExtractor, FramesAudio, LoopedMel, MelSpectrogram, NaturalLog, RawAudio, Spectrogram
from dcasekit.generator.scaler import LEAST_DEVIATION, LEAST_RANGE, Scaler

_WINDOWS = {"hann": torch.hann_window, "hamming": torch.hamming_window, "blackman": torch.blackman_window}


def front_end(features: FeatureExtractor) -> nn.Module:
    """Make a PyTorch module that computes a feature: waveforms (batch, samples) -> (batch, frames, dims), float32.

    Raises
    ------
    ModelError : there is no module for this kind of feature; the message lists those there are.
    """
    form = _FORMS.get(type(features))
    if form is None:
        known = ", ".join(kind.__name__ for kind in _FORMS)
        raise ModelError(
            f"the feature {type(features).__name__} cannot be exported, nor computed on a device; {known} can. To "
            "export the network alone, which takes windows of the feature, set model.features = None first"
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


class OnDevice(nn.Module):
    """Front end for training on waveforms: windows of samples (windows, samples) -> scaled features (windows, frames, dims).

    Give it the samples of `dcasekit.generator.waveforms.Waveforms`; the results then equal the stored features of the library.

    Parameters
    ----------
    features : the feature to compute; it must have an ``stft``.
    scaler : scaler of the feature; ``None``: it is not scaled.
    dims : number of dims of the feature.
    """

    def __init__(self, features: FeatureExtractor, scaler: Scaler | None, dims: int) -> None:
        super().__init__()
        stft: STFT = features.stft  # type: ignore[attr-defined]
        # Padding, offset and pre-emphasis are done: only the ends of a recording are padded.
        own: Any = replace(features, stft=replace(stft, center=False, offset=0.0, pre_emphasis=0.0))  # type: ignore[call-arg]
        self.front_end, self.scale = front_end(own), make_scale(scaler, dims)

    @torch.no_grad()
    def forward(self, samples: Tensor, mask: NDArray[np.bool_]) -> Tensor:
        """Compute windows. Frames whose mask (windows, frames) is False are beyond the recording's end; they reflect those before it."""
        frames: Tensor = self.front_end(samples)
        if not mask.all():
            real = mask.sum(axis=1).tolist()
            places = np.stack([np.pad(np.arange(count), (0, mask.shape[1] - count), mode="reflect") for count in real])
            frames = frames.gather(1, torch.from_numpy(places).to(frames.device)[:, :, None].expand(-1, -1, frames.shape[2]))
        scaled: Tensor = self.scale(frames)
        return scaled


def make_scale(scaler: Scaler | None, dims: int) -> nn.Module:
    """Make a PyTorch module that scales windows (..., frames, dims) as a scaler does; without a scaler it changes nothing."""
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


class Energy(nn.Module):
    """Energy spectra (batch, frames, bins) of audio (batch, samples), computed by `torch.stft` in float64.

    Parameters
    ----------
    n_fft : length of a frame and of its transform, in samples.
    hop : samples from one frame to the next.
    """

    def __init__(self, n_fft: int, hop: int) -> None:
        super().__init__()
        self.n_fft, self.hop = n_fft, hop

    def forward(self, audio: Tensor, window: Tensor) -> Tensor:
        """Multiply each frame of the audio by the window (n_fft,), and transform it."""
        spectrum = torch.stft(audio, self.n_fft, self.hop, window=window, center=False, return_complex=True)
        energy: Tensor = torch.view_as_real(spectrum).square().sum(-1)
        return energy.transpose(1, 2)
