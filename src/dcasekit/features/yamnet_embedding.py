"""YAMNetEmbedding: what a network that was trained on AudioSet says of each 0.96 s, as an embedding or as scores of its 521 classes."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from scipy.special import expit

from dcasekit.core.units import FloatArray, PathLike, Seconds
from dcasekit.download import RemoteFile
from dcasekit.errors import FeatureError
from dcasekit.features._embedding import EmbeddingFeature, refuse_other
from dcasekit.features._google import log_mel_windows
from dcasekit.scores import Scores


@dataclass(frozen=True, kw_only=True)
class YAMNetEmbedding(EmbeddingFeature):
    """Embedding of YAMNet, trained on AudioSet: (frames, 1024), one frame per 0.48 s; or its scores for 521 classes, (frames, 521).

    M. Plakal, D. Ellis, github.com/tensorflow/models, research/audioset/yamnet. The front end makes of each window of 0.975 s 96 frames of
    25 ms with a hop of 10 ms: ``log(x + 0.001)`` of magnitudes in 64 mel bands between 125 and 7500 Hz, which are triangles on the HTK mel
    scale. As published, a recording is filled up with zeros to whole windows, at least one. The embedding is the mean of the last 1,024
    feature maps over the window.

    Parameters
    ----------
    sequence_time, sequence_hop_time, least_real, resampler : see `FeatureExtractor`; by default the whole clip is one window, so that a
        model can take the mean and the maximum over its frames.
    audio_win, sr : length of a window in samples (15600) and sampling rate in Hz (16000); the network allows no others.
    audio_hop : samples from one window to the next; published: 7680, 0.48 s.
    weights, network : see `EmbeddingFeature`; the network must have the layers ``embedding`` and ``out``. The published file is Google's
        (15 MB).
    output : ``"embedding"`` (default), or ``"scores"``: probabilities of AudioSet's classes, each in [0, 1].
    class_map : file with the names of the classes, ``yamnet_class_map.csv``; ``None``: the published file, which `download` fetches.

    Examples
    --------
    >>> YAMNetEmbedding().get_shape(length_sec=10.0)
    (1, 20, 1024)

    ::

        YAMNetEmbedding().download()  # once
        YAMNetEmbedding().extract(dataset)
        YAMNetEmbedding(output="scores").tag("dog.wav").top(3)
    """

    sequence_time: Seconds | None = None
    audio_win: int = 15600
    audio_hop: int = 7680
    sr: int = 16000
    network: str = "yamnet"
    output: Literal["embedding", "scores"] = "embedding"
    class_map: str | None = None

    _FILES = ("weights", "class_map")
    _OUTPUTS = 521

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.output not in ("embedding", "scores"):
            raise FeatureError(f"output of YAMNetEmbedding must be 'embedding' or 'scores'; got {self.output!r}")

    @property
    def published(self) -> Mapping[str, RemoteFile]:
        """The published files: the network's weights, and the names of its classes if ``output="scores"``."""
        return {"weights": _WEIGHTS, "class_map": _CLASS_MAP} if self.output == "scores" else {"weights": _WEIGHTS}

    @cached_property
    def dims(self) -> int:
        """Number of values per frame."""
        return self._OUTPUTS if self.output == "scores" else 1024

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the scores, as read from the class map.

        Raises
        ------
        FeatureError : the output is not ``"scores"``, or the file is missing or is not the published one.
        """
        if self.output != "scores":
            raise FeatureError("an embedding has no labels; set output='scores'")
        self._need_files()
        path = self._path("class_map")
        refuse_other(path, self._checksums["class_map"])
        with path.open(encoding="utf-8", newline="") as file:
            names = tuple(row.get("display_name") or "" for row in csv.DictReader(file))
        if len(set(names)) != self._OUTPUTS or not all(names):
            raise FeatureError(f"{path} does not name {self._OUTPUTS} classes in its column display_name; fetch {_CLASS_MAP.url}")
        return names

    def tag(self, path: PathLike) -> Scores:
        """Compute the scores of AudioSet's classes for a recording of any length and format.

        Frames last 0.48 s; the scores of each are those of the window that begins with it. Clip-level scores are the mean over frames, as
        published, see `Scores.top`.

        Raises
        ------
        FeatureError : the output is not ``"scores"``, or a file is missing; the message says where to get it.
        AudioError : the recording cannot be read.
        """
        labels = self.labels
        frames = np.concatenate(list(self.compute_file(path)))
        return Scores(frames, np.arange(len(frames) + 1) * (self.audio_hop / self.sr), labels)

    def front_end(self, windows: FloatArray) -> FloatArray:
        """Compute the log mel spectrograms of windows: (windows, 15600) -> (windows, 96, 64)."""
        return log_mel_windows(windows, floor=0.001)

    def finish(self, embedding: FloatArray) -> FloatArray:
        """Turn logits into probabilities if ``output="scores"``."""
        return np.asarray(expit(embedding), np.float32) if self.output == "scores" else embedding

    @property
    def _model(self) -> tuple[dict[str, Any], str]:
        return {}, "out" if self.output == "scores" else "embedding"

    def _frames(self, samples: int) -> int:
        return 1 + -(-max(0, samples - self.audio_win) // self.audio_hop)


# Both checksums are recorded by a project that fetches the files.
_WEIGHTS = RemoteFile(
    "https://storage.googleapis.com/audioset/yamnet.h5",
    "sha256:13c3308955bbfaef262f175ac9c40e47b134573a93984f009220dd7cc12a1744",
)
_CLASS_MAP = RemoteFile(
    "https://raw.githubusercontent.com/tensorflow/models/930a6f98f7debcc32ca7afbca4a176dbf9211e03/research/audioset/yamnet/"
    "yamnet_class_map.csv",
    "sha256:cdf24d193e196d9e95912a2667051ae203e92a2ba09449218ccb40ef787c6df2",
)
