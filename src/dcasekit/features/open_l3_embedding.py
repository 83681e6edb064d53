"""OpenL3Embedding: an embedding that was learned from sound and image of videos, one per 0.1 s."""

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
    """Embedding of OpenL3, which was trained to tell whether sound and image belong together: (frames, 512 or 6144), one frame per 0.1 s.

    J. Cramer, H.-H. Wu, J. Salamon, J. P. Bello, "Look, Listen, and Learn More: Design Choices for Deep Audio Embeddings", ICASSP 2019.
    A window lasts 1 s at 48 kHz. Its spectra, with a hop of 242 samples, are ``10 log10`` of magnitudes, in dB below the window's maximum
    and clipped at -80. The recording is filled up with zeros to whole windows. At the published hop, a second of audio takes a few
    seconds on one core.

    Parameters
    ----------
    sequence_time, sequence_hop_time, least_real, resampler : see `FeatureExtractor`.
    audio_win, sr : length of a window in samples (48000) and sampling rate in Hz (48000); the network allows no others.
    audio_hop : samples from one window to the next; published: 4800, 0.1 s.
    weights, network : see `EmbeddingFeature`; the network must have the setting ``embedding_size`` and the layer ``embedding``. The
        published files are the authors' of version 0.4, whose weights are those of version 0.2. A checksum is known only for mel256 with
        music; the other files are accepted without a check.
    content : what the network was trained on: ``"env"`` (default), environmental sounds, or ``"music"``.
    input_repr : input of the network: ``"mel256"`` (default) or ``"mel128"``, mel bands of an FFT of 2048 samples, or ``"linear"``, the 257
        bins of an FFT of 512 samples.
    embedding_size : 512 (default) or 6144.
    center : ``True`` (default), as published: the recording is preceded by half a second of zeros, so that the window of frame i is centred
        at sample ``i * audio_hop``; ``False``: the window begins at that sample.
    version : version of the authors' front end. ``"v0.3"`` (default): the one that the weights were trained with (kapre 0.1): the square
        root of energy in HTK mel bands, and 982 zeros at each end of a window. ``"v0.4"``: the one in openl3 since 2021 (kapre 0.3):
        magnitude in Slaney's mel bands, and 1964 zeros behind a window. For ``"linear"`` both are the same. Some bands of mel256 are
        narrower than a bin and therefore empty.

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
        """The published file of the network's weights."""
        name = f"{self.input_repr}_{self.content}"
        return {"weights": RemoteFile(_ADDRESS.format(name), _CHECKSUMS.get(name))}

    @cached_property
    def dims(self) -> int:
        """Number of values per frame."""
        return self.embedding_size

    def front_end(self, windows: FloatArray) -> FloatArray:
        """Compute the spectrograms of windows in dB: (windows, 48000) -> (windows, 199, bands), or (windows, 197, 257) if linear."""
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
