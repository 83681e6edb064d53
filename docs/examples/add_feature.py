"""A feature of your own: from the spectrum of each frame, or from the audio itself."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dcasekit import FeatureExtractor
from dcasekit.features import Spectrogram


@dataclass(frozen=True, kw_only=True)
class OctaveBands(Spectrogram):
    """Energy per octave, in dB: (frames, octaves).

    Parameters
    ----------
    octaves : how many, counted from the highest frequency downwards.
    """

    octaves: int = 8

    def bands(self, spectrum):
        """Sum the bins of each octave: (frames, bins) -> (frames, octaves)."""
        bins = spectrum.shape[1]
        edges = [max(1, bins >> shift) for shift in range(self.octaves, 0, -1)] + [bins]
        return np.stack(
            [
                spectrum[:, low : max(high, low + 1)].sum(axis=1)
                for low, high in zip(edges, edges[1:], strict=False)
            ],
            axis=1,
        )


@dataclass(frozen=True, kw_only=True)
class LevelAndCrossings(FeatureExtractor):
    """Level in dB and share of zero crossings of each `audio_hop` samples: (frames, 2).

    Audio comes in blocks, so that hours are never whole in memory; what is left of a block waits
    for the next one.
    """

    def compute_blocks(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Turn blocks of audio into blocks of frames."""
        rest = np.zeros(0, np.float32)
        for block in blocks:
            audio = np.concatenate([rest, block])
            whole = len(audio) // self.audio_hop * self.audio_hop
            rest = audio[whole:]
            if whole:
                yield self._frames(audio[:whole].reshape(-1, self.audio_hop))
        if len(rest):
            yield self._frames(rest[None])

    def _frames(self, pieces: np.ndarray) -> np.ndarray:
        level = 10 * np.log10((pieces**2).mean(axis=1) + 1e-10)
        crossings = (
            (np.diff(np.signbit(pieces), axis=1)).mean(axis=1)
            if pieces.shape[1] > 1
            else np.zeros(len(pieces))
        )
        return np.stack([level, crossings], axis=1).astype(np.float32)


def check(folder: Path) -> None:
    """Check the contract: what the tests of this page do."""
    from dcasekit import testing

    testing.check_feature(OctaveBands(sr=16000, audio_win=1024, audio_hop=512))
    testing.check_feature(LevelAndCrossings(sr=16000, audio_hop=400))
