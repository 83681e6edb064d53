"""OpenL3Embedding: what sounds and sights of videos have in common, each 0.1 s."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Literal

import numpy as np

from dcasekit.core.units import FloatArray
from dcasekit.download import RemoteFile
from dcasekit.errors import FeatureError
from dcasekit.features._embedding import EmbeddingFeature
from dcasekit.features._log import Decibels
from dcasekit.features._mel import Mel, mel_basis
from dcasekit.features._stft import STFT, compute_spectra

_CHOICES: Mapping[str, tuple[Any, ...]] = {
    "content": ("env", "music"),
    "input_repr": ("mel256", "mel128", "linear"),
    "embedding_size": (512, 6144),
    "version": ("v0.3", "v0.4"),
}


@dataclass(frozen=True, kw_only=True)
class OpenL3Embedding(EmbeddingFeature):
    """Embedding of OpenL3, trained to tell whether sound and image belong together: (frames, 512 or 6144), one frame per 0.1 s.

    J. Cramer, H.-H. Wu, J. Salamon, J. P. Bello, "Look, Listen, and Learn More: Design Choices for Deep Audio Embeddings", ICASSP 2019.
    A window is 1 s at 48 kHz; its spectra at hops of 242 samples are ``10 log10`` of magnitudes, in dB below the window's maximum, cut at
    -80. The recording is filled up with zeros to whole windows. On one core, a second of audio takes some seconds at the published hop.

    Parameters
    ----------
    sequence_time, sequence_hop_time : see `FeatureExtractor`.
    audio_win, sr : samples of a window (48000) and Hz (48000); the network allows no others.
    audio_hop : samples from window to window, published 4800: 0.1 s.
    weights, network : see `EmbeddingFeature`; the network must take the setting ``embedding_size`` and have the layer ``embedding``.
        Published: the authors' files of version 0.4, whose weights are those of version 0.2. The checksum is known of mel256 with music
        alone: the others are taken as they come.
    content : what it was trained on: ``"env"``, sounds of surroundings, or ``"music"``.
    input_repr : ``"mel256"``, ``"mel128"`` (bands; FFT of 2048 samples) or ``"linear"`` (FFT of 512 samples, 257 bins).
    embedding_size : 512 or 6144.
    center : begin with half a second of zeros, as published: frame i is the window centred at ``i * audio_hop``, and the last one reaches
        half a second beyond it; ``False``: the window that begins there.
    version : of the authors' front end. ``"v0.3"`` (default): the one the weights were trained with, kapre 0.1: HTK bands of energy, then
        the root; each end of a window padded with 982 zeros. ``"v0.4"``: what openl3 gives since 2021, kapre 0.3: Slaney's bands of
        magnitude; 1964 zeros behind a window. The linear one is the same in both. Some bands of mel256 are narrower than a bin and empty.

    Examples
    --------
    >>> OpenL3Embedding().get_shape(length_sec=10.0)
    (19, 10, 512)

    ::

        OpenL3Embedding().download()  # once
        OpenL3Embedding().extract(dataset)
    """

    audio_win: int = 48000
    audio_hop: int = 4800
    sr: int = 48000
    network: str = "open_l3"
    content: Literal["env", "music"] = "env"
    input_repr: Literal["mel256", "mel128", "linear"] = "mel256"
    embedding_size: Literal[512, 6144] = 512
    center: bool = True
    version: Literal["v0.3", "v0.4"] = "v0.3"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, known in _CHOICES.items():
            if (value := getattr(self, name)) not in known:
                raise FeatureError(f"{name} of OpenL3Embedding must be one of {', '.join(map(repr, known))}; got {value!r}")

    @property
    def published(self) -> Mapping[str, RemoteFile]:
        """The network."""
        name = f"{self.input_repr}_{self.content}"
        return {"weights": RemoteFile(_ADDRESS.format(name), _CHECKSUMS.get(name))}

    @cached_property
    def dims(self) -> int:
        """Values per frame."""
        return self.embedding_size

    def front_end(self, windows: FloatArray) -> FloatArray:
        """Make the spectrograms of windows in dB: (windows, 48000) to (windows, 199, bands), or (windows, 197, 257) if linear."""
        if self.input_repr == "linear":
            return np.stack([_levels(_spectrum(window, 512, 1)) for window in windows])
        bands = int(self.input_repr.removeprefix("mel"))
        if self.version == "v0.3":
            padded, basis = np.pad(windows, ((0, 0), (982, 982))), _basis("htk", bands)
            return np.stack([_levels(np.sqrt(_spectrum(window, 2048, 2) @ basis)) for window in padded])
        padded, basis = np.pad(windows, ((0, 0), (0, 1964))), _basis("slaney", bands)
        return np.stack([_levels(_spectrum(window, 2048, 1) @ basis) for window in padded])

    @property
    def _model(self) -> tuple[dict[str, Any], str]:
        return {"embedding_size": self.embedding_size}, "embedding"

    def _frames(self, samples: int) -> int:
        return 1 + max(0, -(-(samples + self._lead - self.audio_win) // self.audio_hop))

    @property
    def _lead(self) -> int:
        return self.audio_win // 2 if self.center else 0


_ADDRESS = "https://github.com/marl/openl3/raw/models/openl3_audio_{}-v0_4_0.h5.gz"
# As recorded by one project that fetches the file; nobody seems to have recorded the others.
_CHECKSUMS = {"mel256_music": "sha256:e379f41e880b78e157c199ebddac80d3764e6a46282bcccdbe875bcf538f9afd"}

_LOG = Decibels(ref="max", top_db=80.0)


def _spectrum(window: FloatArray, n_fft: int, power: Literal[1, 2]) -> FloatArray:
    """Return (frames, 1 + n_fft // 2)."""
    return np.concatenate(list(compute_spectra([window], stft=STFT(center=False, power=power), audio_win=n_fft, audio_hop=242)))


def _levels(magnitudes: FloatArray) -> FloatArray:
    levels = _LOG.apply(magnitudes, 2)  # 10 log10, of magnitudes too
    return _LOG.finish(levels, levels.max())


@cache
def _basis(scale: Literal["htk", "slaney"], bands: int) -> FloatArray:
    return mel_basis(Mel(bands=bands, scale=scale, allow_empty=True), 48000, 2048)  # empty ones are so for the network
