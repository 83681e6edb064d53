"""What VGGishEmbedding, YAMNetEmbedding and OpenL3Embedding share: windows of audio, a network that is found by name, and its weights."""

import logging
import os
import threading
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from dcasekit.core import discover
from dcasekit.core.files import hash_file
from dcasekit.core.locks import lock
from dcasekit.core.units import FloatArray, Seconds
from dcasekit.download import RemoteFile, fetch
from dcasekit.errors import FeatureError, ModelError
from dcasekit.features.base import FeatureExtractor

# Windows that pass the network at once: a window of OpenL3 takes some 40 MB on its way.
_WINDOWS_PER_BATCH = 8

# Threads share the network, and what one of them asks a layer for must not be another's answer.
_turn = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class EmbeddingFeature(FeatureExtractor):
    """Base class of embeddings: a trained network's output for windows of audio, (frames, dims), one window per frame.

    The window of frame i begins at, or is centred on, sample ``i * audio_hop``. Each window of `audio_win` samples at rate `sr`, neither of
    which can be changed, passes the network's published front end. The network is built when the first window is computed, once per
    process. Nothing is downloaded unless `download` is called.

    Parameters
    ----------
    weights : file of the network's weights, in any format that ``load_weights`` of a model reads; ``None``: the published file, which
        `download` puts into ``$DCASEKIT_CACHE/weights``, by default ``~/.cache/dcasekit/weights``. The fingerprint depends on the
        file's SHA-256, not on its path.
    network : name of a model, or ``"package.module:Class"`` for one of your own with the same settings and layer names.
    """

    weights: str | None = None
    network: str = ""

    # Settings that name files.
    _FILES: ClassVar[tuple[str, ...]] = ("weights",)
    # Of the network's classifier; two where the files have none.
    _OUTPUTS: ClassVar[int] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self._FILES:
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, os.fspath(value))  # a path, too, is written to JSON
        kind = type(self)
        if (self.sr, self.audio_win) != (kind.sr, kind.audio_win):
            raise FeatureError(
                f"the network of {kind.__name__} is made for windows of audio_win={kind.audio_win} samples at sr={kind.sr} Hz; got "
                f"audio_win={self.audio_win} and sr={self.sr}: leave both out, audio of another rate is resampled"
            )

    @property
    @abstractmethod
    def published(self) -> Mapping[str, RemoteFile]:
        """Name of each setting that names a file -> the published file; only of those that are used."""

    @abstractmethod
    def front_end(self, windows: FloatArray) -> FloatArray:
        """Turn windows of audio (windows, audio_win) into the network's input (windows, frames, bands)."""

    @property
    @abstractmethod
    def _model(self) -> tuple[dict[str, Any], str]:
        """The settings of the network, and the layer that is the embedding."""

    @abstractmethod
    def _frames(self, samples: int) -> int:
        """Count the frames of a recording of so many samples, at least one."""

    @property
    def _lead(self) -> int:
        """Zeros in front of a recording."""
        return 0

    def finish(self, embedding: FloatArray) -> FloatArray:
        """Map the network's outputs (windows, dims) to the feature, of the same shape; by default they are the feature."""
        return embedding

    def compute_blocks(self, blocks: Iterable[FloatArray]) -> Iterator[FloatArray]:
        """Turn consecutive blocks of one recording into consecutive blocks of embeddings (frames, dims)."""
        for windows in self._windows(blocks):
            yield self.finish(self._embed(self.front_end(windows))).astype(np.float32, copy=False)

    def download(self, *, progress: bool = False) -> tuple[Path, ...]:
        """Fetch the published files that are needed and not there yet, and verify their checksums where those are known.

        Parameters
        ----------
        progress : show a progress bar.

        Returns
        -------
        paths of the files; a setting that names a file of your own adds none.

        Raises
        ------
        DownloadError : a file cannot be fetched, or is not the one that was published.
        """
        with lock(_folder()):
            return tuple(fetch(self.published[name], _folder(), progress=progress) for name in self.published if not getattr(self, name))

    def get_shape(self, length_sec: Seconds = 10.0) -> tuple[int, int, int]:
        """Return (windows, frames per window, dims) for a recording that lasts `length_sec` seconds; it needs no weights."""
        grid = self.grid(self._frames(round(length_sec * self.sr)), length_sec)
        return len(grid.starts), grid.length, self.dims

    def _windows(self, blocks: Iterable[FloatArray]) -> Iterator[FloatArray]:
        """Cut blocks into batches of windows (windows, audio_win); where blocks end does not change the batches."""
        step = _WINDOWS_PER_BATCH * self.audio_hop
        enough = step + max(0, self.audio_win - self.audio_hop)  # samples of one batch
        pending: list[FloatArray] = []
        for block in self._pad_ends(blocks):
            pending.append(block)
            if sum(map(len, pending)) >= enough:
                audio = np.concatenate(pending)
                while len(audio) >= enough:
                    yield sliding_window_view(audio[:enough], self.audio_win)[:: self.audio_hop]
                    audio = audio[step:]
                pending = [audio]
        rest = np.concatenate(pending)
        if len(rest) >= self.audio_win:
            yield sliding_window_view(rest, self.audio_win)[:: self.audio_hop]

    def _pad_ends(self, blocks: Iterable[FloatArray]) -> Iterator[FloatArray]:
        """Put zeros in front of a recording and behind it, as many as its frames need."""
        yield np.zeros(self._lead, np.float32)
        samples = 0
        for block in blocks:
            samples += len(block)
            yield np.asarray(block, np.float32)
        if not samples:
            raise FeatureError("the audio has no samples")
        needed = (self._frames(samples) - 1) * self.audio_hop + self.audio_win
        yield np.zeros(max(0, needed - self._lead - samples), np.float32)

    def _prepare(self) -> None:
        """Load the network, so that extraction begins with what is wrong with it and not with every clip."""
        self.finish(self._embed(self.front_end(np.zeros((1, self.audio_win), np.float32))))

    def _embed(self, inputs: FloatArray) -> FloatArray:
        """Let (windows, frames, bands) pass the network; return (windows, dims)."""
        self._need_files()
        settings, layer = self._model
        with _turn:
            network = _network(
                self.network,
                tuple(settings.items()),
                inputs.shape[1:],
                str(self._path("weights")),
                self._checksums["weights"],
                self._OUTPUTS,
            )
            try:
                embedding: FloatArray = network.activations(inputs, layer)
            except (LookupError, ModelError) as error:
                raise FeatureError(f"network={self.network!r} has no layer {layer!r} that could be the embedding") from error
        if embedding.shape[1:] != (self.dims,):
            raise FeatureError(f"{layer} of network={self.network!r} gives {embedding.shape[1:]} for a window, expected ({self.dims},)")
        return embedding

    def _path(self, name: str) -> Path:
        given = getattr(self, name)
        return _folder() / self.published[name].filename if given is None else Path(given)

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the settings whose published file is needed and not there yet; `download` fetches these files."""
        return tuple(name for name in self.published if getattr(self, name) is None and not self._path(name).is_file())

    def _need_files(self) -> None:
        """Refuse to begin without a file, and say where it comes from."""
        kind = type(self).__name__
        for name, file in self.published.items():
            path = self._path(name)
            if path.is_file():
                continue
            if getattr(self, name) is not None:
                raise FeatureError(f"{kind} cannot find {name}={str(path)!r}; leave {name} out for the published file")
            about = ", ".join([f"{file.size} bytes"] * (file.size is not None) + [file.checksum or "checksum not known"])
            raise FeatureError(
                f"{kind} cannot find its {name}: fetch {file.url} ({about}) to {path}, or call download() of this feature, "
                f"or pass a file of yours as {name}='...'"
            )

    @cached_property
    def _checksums(self) -> dict[str, str]:
        """Setting -> SHA-256 of the file that it names; known of some published files, so that a store can be read without them."""
        found = {}
        for name, file in self.published.items():
            known = file.checksum if getattr(self, name) is None else None
            if known is None:
                self._need_files()
            found[name] = known or checksum(self._path(name))
        return found

    @property
    def _stored_settings(self) -> dict[str, Any]:
        settings = {name: value for name, value in super()._stored_settings.items() if name not in self._FILES}
        return {**settings, **self._checksums}


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file, as `RemoteFile` writes it."""
    return f"sha256:{hash_file(path)}"


def refuse_other(path: Path, expected: str) -> None:
    """Refuse a file that is not the published one, or has changed since its feature was made."""
    if (found := checksum(path)) != expected:
        raise FeatureError(f"{path} has {found}, expected {expected}: it is not the published file, or has changed; fetch it again")


@contextmanager
def quiet(name: str) -> Iterator[None]:
    """Keep back the warnings of a part of the library, for a while."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


@lru_cache(maxsize=2)
def _network(name: str, settings: tuple[tuple[str, Any], ...], shape: tuple[int, ...], path: str, expected: str, outputs: int) -> Any:
    """Build a network and load its weights; kept for this process."""
    refuse_other(Path(path), expected)
    try:
        model = discover.load("models", name)(**dict(settings)).build(shape, tuple(map(str, range(outputs))))
        with quiet("dcasekit.containers"):  # it would say that the file has no head; an embedding needs none
            return model.load_weights(path)
    except (ModelError, TypeError) as error:
        raise FeatureError(f"network={name!r} with the settings {dict(settings)} cannot be used: {error}") from error


def _folder() -> Path:
    return Path(os.environ.get("DCASEKIT_CACHE") or Path.home() / ".cache" / "dcasekit") / "weights"
