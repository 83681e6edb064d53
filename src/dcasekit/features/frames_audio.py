"""Windowed frames of the waveform, for networks that learn their front end from frames."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from dcasekit.core.units import FloatArray
from dcasekit.features._stft import STFT, cut_frames
from dcasekit.features.base import FeatureExtractor


@dataclass(frozen=True, kw_only=True)
class FramesAudio(FeatureExtractor):
    """Waveform cut into overlapping frames, each multiplied by a window: (frames, n_fft). A `Spectrogram` is the transform of these frames.

    As frames overlap, the store takes ``n_fft / audio_hop`` times the size of the audio in float32; frames of `RawAudio` do not overlap.

    Parameters
    ----------
    sequence_time, sequence_hop_time, least_real, audio_win, audio_hop, sr, resampler : see `FeatureExtractor`.
    stft : window, centring and padding of the frames, see `STFT`; its `power` is not used.

    Examples
    --------
    >>> FramesAudio(sr=22050, audio_win=1024, audio_hop=512).compute(np.zeros(22050, np.float32)).shape
    (44, 1024)
    """

    stft: STFT = STFT()

    def __post_init__(self) -> None:
        super().__post_init__()
        self.stft.length(self.audio_win)  # refuses a window that is longer

    def compute_blocks(self, blocks: Iterable[FloatArray]) -> Iterator[FloatArray]:
        """Cut consecutive blocks into frames."""
        for frames in cut_frames(blocks, stft=self.stft, audio_win=self.audio_win, audio_hop=self.audio_hop):
            yield frames.astype(np.float32)
