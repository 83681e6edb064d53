"""LoopedMel: the mel spectrogram of what sounds, at one level."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from dcasekit.core.units import FloatArray
from dcasekit.errors import FeatureError
from dcasekit.features._log import Decibels
from dcasekit.features.mel_spectrogram import MelSpectrogram


@dataclass(frozen=True, kw_only=True)
class LoopedMel(MelSpectrogram):
    """Mel spectrogram without the silence around a sound and without its loudness: (frames, mel bands), in dB.

    It is meant for clips that were padded with digital silence to equal lengths, as in ESC-50, and whose levels differ. Frames at the floor
    (``log.amin``) are removed from both ends, and the rest is repeated up to the clip's length; 0 dB is the mean energy of the frames above
    the floor. So a network sees the sound, not how it was padded. It does not suit detection, because times change.

    Parameters
    ----------
    sequence_time, sequence_hop_time, least_real, audio_win, audio_hop, sr, resampler, stft, mel, log : see `MelSpectrogram`; `log` must be
        `Decibels`, and ``stft.power`` 2.
    depth : dB; values further than this below the mean are raised to it.

    Examples
    --------
    >>> sound = np.concatenate([np.zeros(8000), np.random.default_rng(0).normal(size=8000)]).astype(np.float32)
    >>> levels = LoopedMel(sr=16000, audio_win=512, audio_hop=256).compute(sound)
    >>> bool(abs(10 * np.log10(np.mean(10 ** (levels / 10)))) < 1)
    True
    """

    depth: float = 80.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.log, Decibels) or self.stft.power != 2:
            raise FeatureError(f"LoopedMel needs log=Decibels(...) and stft.power=2; got {self.log} and power={self.stft.power}")

    def compute_blocks(self, blocks: Iterable[FloatArray]) -> Iterator[FloatArray]:
        """Compute the whole clip: its ends and its mean must be known."""
        levels = np.concatenate(list(super().compute_blocks(blocks)))
        floor = levels.min() if self._floor is None else self._floor
        sounding = np.flatnonzero(levels.max(axis=1) > floor + 5)  # rounding and dither are silence, too
        if len(sounding):
            mean = 10 * np.log10(np.mean(10 ** (levels[sounding].astype(np.float64) / 10)))
            levels = np.resize(levels[sounding[0] : sounding[-1] + 1], levels.shape)
            levels -= np.float32(mean)
            np.maximum(levels, np.float32(-self.depth), out=levels)
        else:
            levels = np.full_like(levels, -self.depth)
        yield levels

    @property
    def needs_clip(self) -> bool:
        """Always true: the ends and the mean of the clip must be known."""
        return True

    @property
    def _floor(self) -> float | None:
        """The level of digital silence; None if it depends on the clip."""
        log = self.log
        if not isinstance(log, Decibels) or log.ref == "max":
            return None
        return float(10 * np.log10(log.amin / log.ref))
