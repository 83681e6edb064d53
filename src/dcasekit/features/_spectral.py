"""What Spectrogram, MelSpectrogram and MFCC share: spectra, then a map per frame, then what needs the whole clip."""

from abc import abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from dcasekit.core.units import FloatArray
from dcasekit.features._log import Decibels, Log
from dcasekit.features._stft import STFT, compute_spectra
from dcasekit.features.base import FeatureExtractor


@dataclass(frozen=True, kw_only=True)
class SpectralFeature(FeatureExtractor):
    """A feature made from the spectrum of each frame.

    Parameters
    ----------
    stft : the transform, see `STFT`.
    log : `Decibels` (default), `NaturalLog`, or ``None`` for linear values.
    """

    stft: STFT = STFT()
    log: Log | None = Decibels()

    def __post_init__(self) -> None:
        super().__post_init__()
        self.stft.length(self.audio_win)  # refuses a window that is longer

    @abstractmethod
    def bands(self, spectrum: FloatArray) -> FloatArray:
        """Map spectra (frames, bins) to the values (frames, bands) before the logarithm; the argument may be overwritten."""

    def finish(self, levels: FloatArray) -> FloatArray:
        """Map values after the logarithm (frames, bands) to the feature (frames, dims); by default they are the feature."""
        return levels

    def compute_blocks(self, blocks: Iterable[FloatArray]) -> Iterator[FloatArray]:
        """Compute consecutive blocks of frames, see `FeatureExtractor.compute_blocks`; if `needs_clip`, all come at the clip's end."""
        frames = compute_spectra(blocks, stft=self.stft, audio_win=self.audio_win, audio_hop=self.audio_hop)
        levels = map(self._levels, frames)
        if self.needs_clip and self.log is not None:
            kept = deque(levels)
            peak = np.float32(max(block.max() for block in kept))
            while kept:
                yield self.finish(self.log.finish(kept.popleft(), peak))
        else:
            yield from map(self.finish, levels)

    @property
    def needs_clip(self) -> bool:
        """Whether values depend on the clip's maximum, see `Decibels`."""
        return self.log is not None and self.log.needs_clip

    def _levels(self, spectrum: FloatArray) -> FloatArray:
        values = self.bands(spectrum)
        return values if self.log is None else self.log.apply(values, self.stft.power)
