"""SMel: a mel spectrogram from filters in the time domain, which can go on learning (Zinemanas et al. 2019)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from dcasekit.containers.levels import LevelsModel
from dcasekit.containers.summary import Published
from dcasekit.containers.torch import TorchModelContainer
from dcasekit.core.units import FloatArray, Hz
from dcasekit.datasets.base import Task
from dcasekit.errors import ModelError
from dcasekit.features import STFT, Mel, MelSpectrogram
from dcasekit.models._waveform import same

_STRIDE = 16  # samples between two outputs of a filter


@dataclass(kw_only=True, eq=False)
class SMel(LevelsModel, TorchModelContainer):
    """Mel spectrogram computed by one convolution per frame: energy of each filter's output, in dB.

    P. Zinemanas, P. Cancela, M. Rocamora, "End-to-end Convolutional Neural Networks for Sound Event Detection in Urban Environments",
    FRUCT 2019; DCASE-models' settings.

    Input: frames of windowed samples (windows, frames, samples), or the waveform, see `audio_win`; output (windows, frames, outputs) in
    dB. It is a regression: the outputs are mel bands, `target` computes their targets, and it is trained with ``loss="mse"`` and a small
    ``learning_rate`` (published: 1e-6, because the values of the filters are small). `Concatenated` puts it in front of a network that has
    labels. For frames of 1024 samples and 128 bands there are 131,200 parameters, all trainable. Any number of frames.

    The initial filters are mel filters in the time domain: the spectrum of ``sinc(w t)^2 cos(2 pi f t)`` is a triangle with centre f and
    half width w. A Hann window makes each filter as long as a frame, and its largest gain is that of the band in the mel basis (HTK scale,
    unit area per Hz). Untrained, on white noise, the output is within 2 dB (root mean square) of `target`; the narrow lowest bands differ
    most.

    Parameters
    ----------
    sr : sampling rate of the audio in Hz, from which the initial filters are computed.
    audio_win : samples of a frame if the input is the waveform, row after row, as `RawAudio` returns it. Frames are then centred on the
        start of each row, padded by reflection at the ends of the window, and multiplied by a Hann window, like those of `MelSpectrogram`.
        ``None``: each row is such a frame already (published).
    alpha : factor of the energies.
    amin : smallest energy; lower ones are raised to it before the logarithm.
    minmax : lowest and highest level of the training data in dB, which become -1 and 1 in the output; ``None``: the output is in dB.

    Examples
    --------
    >>> SMel().build((64, 1024), [f"mel{band}" for band in range(128)]).cost()["parameters"]
    131200
    """

    published_front_end: ClassVar[str | None] = "smel"
    PUBLISHED_FOR: ClassVar[Published] = Published(shape=(64, 1024), labels=128, hop=512 / 22050)

    sr: Hz = 22050
    audio_win: int | None = None
    alpha: float = 1.0
    amin: float = 1e-10
    minmax: Sequence[float] | None = None

    def network_for(self, frames: int, dims: int, outputs: int, task: Task) -> nn.Module:  # noqa: ARG002
        """Make the network; it takes any number of frames."""
        if self.audio_win is not None and frames * dims <= self.audio_win // 2:
            raise ModelError(
                f"windows of {frames * dims} samples are too short to be padded by reflection with half of audio_win = {self.audio_win}; "
                "use a longer sequence_time, or a smaller audio_win"
            )
        return _Network(self, dims, outputs)

    def target(self, windows: FloatArray, bands: int = 128) -> FloatArray:
        """Compute the mel spectrogram that the network is trained to output.

        It is the energy of the spectrum, divided by its number of bins, in the squared mel basis; then ``alpha``, ``amin``, dB and
        ``minmax`` as in the network. The published target is also cut 80 dB below the maximum of each window; this one is not, so that a
        sound has the same level in every window.

        Parameters
        ----------
        windows : input of the network, (windows, frames, samples).
        bands : number of mel bands.

        Returns
        -------
        array (windows, frames, bands), float32.

        Examples
        --------
        >>> rng = np.random.default_rng(0)
        >>> X = rng.normal(size=(2, 3, 1024)) * np.hanning(1024)
        >>> Y = SMel().target(X)
        >>> Y.shape
        (2, 3, 128)

        Training is then ``SMel().train((X, Y), loss="mse", learning_rate=1e-6)``.
        """
        frames = _frames(torch.from_numpy(np.asarray(windows, np.float32)), self.audio_win).numpy()
        energy = np.abs(np.fft.rfft(frames)) ** 2 / (frames.shape[-1] // 2 + 1)
        return _levels(torch.from_numpy(energy @ _mel_basis(bands, frames.shape[-1], self.sr).T ** 2), self).numpy().astype(np.float32)


class _Network(nn.Module):
    activation = "none"  # the answers are levels, not probabilities

    def __init__(self, settings: SMel, dims: int, outputs: int) -> None:
        super().__init__()
        self.settings = settings
        samples = settings.audio_win or dims
        self.conv = nn.Conv1d(1, outputs, samples, stride=_STRIDE)  # weights (bands, 1, samples); Keras': (samples, 1, bands)
        self.conv.weight = nn.Parameter(torch.from_numpy(_mel_filters(outputs, samples, settings.sr).astype(np.float32))[:, None])
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]
        self.energy = nn.Identity()  # a name for what comes out, since windows and frames are one axis before

    def forward(self, x: Tensor) -> Tensor:
        # Half precision cannot hold these energies: a filter's output may be 1e-5, and its square is what counts.
        with torch.autocast(x.device.type, enabled=False):
            frames = _frames(x, self.settings.audio_win)
            samples = frames.shape[-1]
            filtered = self.conv(same(frames.flatten(0, 1)[:, None], samples, _STRIDE))  # (windows * frames, bands, samples / 16)
            energy = self.energy((samples * filtered.square().mean(2)).unflatten(0, frames.shape[:2]))
            return _levels(energy, self.settings)


def _frames(x: Tensor, audio_win: int | None) -> Tensor:
    """Cut (windows, frames, hop) into as many windowed frames (windows, frames, audio_win), or take it as such."""
    if audio_win is None:
        return x
    audio = nn.functional.pad(x.flatten(1), (audio_win // 2, audio_win // 2), mode="reflect")
    return audio.unfold(1, audio_win, x.shape[2])[:, : x.shape[1]] * torch.hann_window(audio_win, device=x.device)


def _levels(energy: Tensor, settings: SMel) -> Tensor:
    levels = 10 * torch.log10((settings.alpha * energy).clamp_min(settings.amin))
    if settings.minmax is None:
        return levels
    low, high = settings.minmax
    return 2 * (levels - low) / (high - low) - 1


def _mel_basis(bands: int, samples: int, sr: Hz) -> FloatArray:
    """Return the triangles (bands, bins)."""
    feature = MelSpectrogram(sr=sr, audio_win=samples, stft=STFT(n_fft=samples), mel=Mel(bands=bands, scale="htk", allow_empty=True))
    return feature.bands(np.eye(samples // 2 + 1, dtype=np.float32)).T


def _mel_filters(bands: int, samples: int, sr: Hz) -> FloatArray:
    """Return the filters of the time domain: (bands, samples)."""
    corners = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + sr / 1400), bands + 2) / 2595) - 1)  # Hz, equally spaced in mel (HTK)
    centre, width = corners[1:-1, None], np.diff(corners)[:-1, None]
    time = (np.arange(samples) - samples // 2) / sr
    hann = np.hanning(samples + 1)[:-1]
    filters = np.sinc(width * time) ** 2 * np.cos(2 * np.pi * centre * time) * hann
    gain = _mel_basis(bands, samples, sr).max(axis=1) / np.abs(np.fft.rfft(filters)).max(axis=1)
    if empty := int((gain == 0).sum()):
        raise ModelError(
            f"{empty} of {bands} mel bands are narrower than a bin of {sr / samples:.1f} Hz: their filters would be all zero, and never "
            "learn; use fewer bands or longer frames"
        )
    return filters * gain[:, None]
