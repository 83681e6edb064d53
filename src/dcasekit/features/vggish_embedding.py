"""VGGishEmbedding: AudioSet's embedding of each 0.96 s."""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from dcasekit.core.units import FloatArray, Seconds
from dcasekit.download import RemoteFile
from dcasekit.errors import FeatureError
from dcasekit.features._embedding import EmbeddingFeature, refuse_other
from dcasekit.features._google import log_mel_windows


@dataclass(frozen=True, kw_only=True)
class VGGishEmbedding(EmbeddingFeature):
    """Embedding of VGGish, which was trained on the sound of millions of videos: (frames, 128), one frame per 0.96 s.

    S. Hershey et al., "CNN Architectures for Large-Scale Audio Classification", ICASSP 2017; J. F. Gemmeke et al., "Audio Set", ICASSP
    2017. The front end makes of each window of 0.975 s 96 frames of 25 ms with a hop of 10 ms: ``log(x + 0.01)`` of magnitudes in 64 mel
    bands between 125 and 7500 Hz, which are triangles on the HTK mel scale. As published, an end that does not fill a window is left out;
    a recording shorter than one window, for which the published code gives nothing, is filled up with zeros.

    Parameters
    ----------
    sequence_time, sequence_hop_time, least_real, resampler : see `FeatureExtractor`; by default one frame is a window.
    audio_win, sr : length of a window in samples (15600) and sampling rate in Hz (16000); the network allows no others.
    audio_hop : samples from one window to the next; published: 15360, 0.96 s.
    weights, network : see `EmbeddingFeature`; the network must have the setting ``include_top`` and the layers ``embedding`` and, with
        top, ``embedding.fc2``. The published file is torchvggish's conversion of Google's weights, 289 MB.
    include_top : ``False``: not the published embedding but the mean of the last 512 feature maps over the window, (frames, 512).
    relu : apply a ReLU to the 128 values, as torchvggish, DCASE-models and, until 2020, Google's own code do. By default the values are
        those of Google's present code, for which the PCA was made. Use ``True`` if you train layers on them.
    compress : apply AudioSet's post-processing, in which its features are distributed: a PCA, clipped at -2 and 2, then whole numbers from
        0 to 255. Off by default, because it only loses precision; it needs a second file.
    pca : file of the PCA, ``.npz`` with ``pca_eigen_vectors`` and ``pca_means``; ``None``: Google's file, which `download` fetches.

    Examples
    --------
    >>> VGGishEmbedding().get_shape(length_sec=10.0)
    (10, 1, 128)

    ::

        VGGishEmbedding().download()  # once
        VGGishEmbedding().extract(dataset)
        VGGishEmbedding(relu=True, compress=True)  # DCASE-models' VGGishEmbeddings()
    """

    sequence_time: Seconds | None = 0.96
    sequence_hop_time: Seconds = 0.96
    audio_win: int = 15600
    audio_hop: int = 15360
    sr: int = 16000
    network: str = "vggish"
    include_top: bool = True
    relu: bool = False
    compress: bool = False
    pca: str | None = None

    _FILES = ("weights", "pca")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.compress and not self.include_top:
            raise FeatureError("compress=True is the post-processing of the 128 values of the top; set include_top=True")

    @property
    def published(self) -> Mapping[str, RemoteFile]:
        """The published files: the network's weights, and the PCA if it is used."""
        return {"weights": _WEIGHTS, "pca": _PCA} if self.compress else {"weights": _WEIGHTS}

    @cached_property
    def dims(self) -> int:
        """Number of values per frame."""
        return 128 if self.include_top else 512

    def front_end(self, windows: FloatArray) -> FloatArray:
        """Compute the log mel spectrograms of windows: (windows, 15600) -> (windows, 96, 64)."""
        return log_mel_windows(windows, floor=0.01)

    def finish(self, embedding: FloatArray) -> FloatArray:
        """Apply `relu` and `compress`, if they are set."""
        if self.relu:
            embedding = np.maximum(embedding, 0)
        if self.compress:
            matrix, means = _pca(str(self._path("pca")), self._checksums["pca"])
            embedding = np.floor((np.clip((embedding - means) @ matrix.T, -2, 2) + 2) * (255 / 4))  # a cast to 8 bits does not round
        return embedding

    @property
    def _model(self) -> tuple[dict[str, Any], str]:
        return {"include_top": self.include_top}, "embedding.fc2" if self.include_top else "embedding"

    def _frames(self, samples: int) -> int:
        return 1 + max(0, samples - self.audio_win) // self.audio_hop


# The first digits of a checksum are in the file's name at torchvggish; all of them are recorded by several projects that fetch it.
_WEIGHTS = RemoteFile(
    "https://github.com/harritaylor/torchvggish/releases/download/v0.1/vggish-10086976.pth",
    "sha256:10086976245803799d9194e9a73d9b6c1549c71d1b80106f5cade5608a561f4b",
    size=288_567_937,
)
_PCA = RemoteFile(
    "https://storage.googleapis.com/audioset/vggish_pca_params.npz",
    "sha256:4d878af3e306defbfb37095365aa7e5a6cecb86bad13e859e626151c4e6a8b9d",
)


@lru_cache(maxsize=2)
def _pca(path: str, expected: str) -> tuple[FloatArray, FloatArray]:
    """Read matrix (components, values) and means (values,)."""
    refuse_other(Path(path), expected)
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            matrix, means = arrays["pca_eigen_vectors"], arrays["pca_means"].reshape(-1)
    except (OSError, EOFError, LookupError, TypeError, ValueError, AttributeError, zipfile.BadZipFile) as error:
        raise FeatureError(f"{path} is not an .npz file with pca_eigen_vectors and pca_means ({error}); fetch {_PCA.url}") from error
    if (matrix.shape, means.shape) != ((128, 128), (128,)):
        raise FeatureError(f"{path} holds a PCA of {matrix.shape} and {means.shape}, expected (128, 128) and (128,); fetch {_PCA.url}")
    return matrix, means
