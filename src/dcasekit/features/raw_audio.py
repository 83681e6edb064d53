"""The waveform itself, for networks that learn their front end."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from dcasekit.core.units import FloatArray
from dcasekit.errors import FeatureError
from dcasekit.features.base import FeatureExtractor


@dataclass(frozen=True, kw_only=True)
class RawAudio(FeatureExtractor):
    """Waveform cut into consecutive pieces of `audio_hop` samples: (frames, audio_hop); flattened, a window is the audio itself.

    Values are samples with full scale at 1. The last piece is filled up with zeros. ``audio_win`` is not used.

    Parameters
    ----------
    sequence_time, sequence_hop_time, least_real, audio_hop, sr, resampler : see `FeatureExtractor`.

    Examples
    --------
    >>> RawAudio(sr=16000, audio_hop=512).compute(np.zeros(1024, np.float32)).shape
    (2, 512)
    """

    def compute_blocks(self, blocks: Iterable[FloatArray]) -> Iterator[FloatArray]:
        """Cut consecutive blocks into pieces."""
        rest = np.zeros(0, np.float32)
        any_audio = False
        for block in blocks:
            rest = np.concatenate([rest, block])
            whole = len(rest) // self.audio_hop * self.audio_hop
            any_audio |= len(rest) > 0
            if whole:
                yield rest[:whole].reshape(-1, self.audio_hop)
            rest = rest[whole:]
        if not any_audio:
            raise FeatureError("the audio has no samples; remove the clip, or leave it out (in extraction: on_error='skip')")
        if len(rest):
            yield np.pad(rest, (0, self.audio_hop - len(rest)))[None]
