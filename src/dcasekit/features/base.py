"""The feature extractor: audio in, an array of frames out, stored once per dataset and setting."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, Self, cast

import numpy as np

from dcasekit import audio as audio_files
from dcasekit.annotations import Clip
from dcasekit.core import discover
from dcasekit.core.files import inside, place, write_json
from dcasekit.core.parallel import Backend, map_clips, total_size
from dcasekit.core.units import FloatArray, Hz, PathLike, Seconds
from dcasekit.datasets.base import Dataset
from dcasekit.errors import FeatureError
from dcasekit.features._fill import OnError, fill, is_filled
from dcasekit.features._log import Decibels, NaturalLog
from dcasekit.features._mel import Mel
from dcasekit.features._presets import find_preset
from dcasekit.features._resample import resample_sinc
from dcasekit.features._settings import Settings, check_kinds, refuse_unlike_numbers
from dcasekit.features._stft import STFT
from dcasekit.features._store import KIND, FeatureStore
from dcasekit.scores.grid import Grid

# Settings classes that may stand inside a feature's settings.
_NESTED: Mapping[str, Any] = {kind.__name__: kind for kind in (STFT, Mel, Decibels, NaturalLog)}

# Raised when the numbers a class computes change, so that stores made before are not mistaken for current ones.
_VERSION = 2

# Of a file that are in memory at once; most clips are shorter and pass in one go.
_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class FeatureExtractor(Settings, ABC):
    """Base class of features, which turn audio into an array (frames, dims). A subclass needs to define only `compute_blocks`.

    Frame i covers samples ``[i * audio_hop, (i + 1) * audio_hop)``. Labels, windows and scores use the same grid, so that nothing drifts
    apart in long recordings. Frames are stored; windows are cut when batches are made.

    Parameters
    ----------
    sequence_time : length of a window in seconds, rounded down to whole frames (at least one); ``None``: the whole clip is one window. A
        last window that reaches beyond the clip, and a clip shorter than one window, are filled up by reflecting frames.
    sequence_hop_time : seconds from the beginning of one window to that of the next, rounded down to whole frames (at least one).
    least_real : in [0, 1). A clip's last window is kept only if more than this share of its frames is real, not filled up. The first
        window is always kept.
    audio_win : length of an analysis window in samples.
    audio_hop : samples from the beginning of one frame to that of the next; 680 at 22.05 kHz are 31 ms, DCASE-models' default.
    sr : sampling rate in Hz; audio with another rate is resampled.
    resampler : ``"soxr"`` (default): soxr's high quality. ``"sinc"``: the same as torchaudio's default, a windowed sinc with six zero
        crossings on each side, roll-off 0.99 and a Hann window.

    Raises
    ------
    FeatureError : a setting is unknown or out of its range.
    """

    sequence_time: Seconds | None = 1.0
    sequence_hop_time: Seconds = 0.5
    least_real: float = 0.1
    audio_win: int = 1024
    audio_hop: int = 680
    sr: Hz = 22050
    resampler: Literal["soxr", "sinc"] = "soxr"

    # Settings that only say how stored frames are cut into windows: changing them recomputes nothing.
    _WINDOWING: ClassVar[tuple[str, ...]] = ("sequence_time", "sequence_hop_time", "least_real")

    def __post_init__(self) -> None:
        self._make_plain()
        check_kinds(self)
        for name in ("audio_win", "audio_hop", "sr"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                unit = "Hz" if name == "sr" else "samples"
                raise FeatureError(f"{name} must be a positive int ({unit}); got {value!r}")
        refuse_unlike_numbers(self, ("sequence_time", "sequence_hop_time", "least_real"))
        if self.sequence_hop_time <= 0 or (self.sequence_time is not None and self.sequence_time <= 0):
            raise FeatureError(
                "sequence_time and sequence_hop_time must be positive seconds (sequence_time=None: the whole clip); "
                f"got {self.sequence_time} and {self.sequence_hop_time}"
            )
        if self.resampler not in ("soxr", "sinc"):
            raise FeatureError(f"resampler must be 'soxr' or 'sinc'; got {self.resampler!r}")
        if not 0 <= self.least_real < 1:
            raise FeatureError(f"least_real, the share of a last window that must be real, must be in [0, 1); got {self.least_real!r}")

    @abstractmethod
    def compute_blocks(self, blocks: Iterable[FloatArray]) -> Iterator[FloatArray]:
        """Turn consecutive blocks of one recording into consecutive blocks of frames; a subclass defines it.

        Parameters
        ----------
        blocks : (samples,), float32 at rate `sr`, of any lengths; the frames must not depend on where they are cut.

        Yields
        ------
        arrays (frames, dims), float32.
        """

    def compute(self, audio: FloatArray) -> FloatArray:
        """Compute the feature of one recording.

        Parameters
        ----------
        audio : (samples,), mono at rate `sr`, finite floats; full scale is 1.

        Returns
        -------
        array (frames, dims), float32.

        Raises
        ------
        FeatureError : the audio is not one-dimensional, not of floats, not finite, or shorter than one analysis window; or the feature is
            not finite.
        """
        if np.issubdtype(np.asarray(audio).dtype, np.integer):
            raise FeatureError("expected audio as floats with full scale at 1; got integers: divide 16-bit samples by 32768")
        audio = np.asarray(audio, dtype=np.float32)
        if audio.ndim != 1 or not np.isfinite(audio).all():
            raise FeatureError(f"expected mono audio, (samples,), all finite; got shape {audio.shape}")
        return np.concatenate(list(self._check_frames(self.compute_blocks([audio]))))

    def compute_file(self, path: PathLike, *, channel: int | None = None) -> Iterator[FloatArray]:
        """Compute the feature of an audio file block by block, so that a long recording is never whole in memory.

        Parameters
        ----------
        path : of the audio file, at any sampling rate.
        channel : number of the channel to use, from 0; ``None``: the mean of all.

        Yields
        ------
        arrays (frames, dims), float32.

        Raises
        ------
        AudioError : the file cannot be read.
        FeatureError : as for `compute`; the message names the file.
        """
        try:
            yield from self._check_frames(self.compute_blocks(self._read_audio(path, channel)))
        except FeatureError as error:
            raise FeatureError(f"{path}: {error}") from error

    def _read_audio(self, path: PathLike, channel: int | None) -> Iterator[FloatArray]:
        if self.resampler == "soxr":
            return audio_files.blocks(path, sr=self.sr, seconds=_SECONDS, channel=channel)
        return resample_sinc(audio_files.blocks(path, seconds=_SECONDS, channel=channel), audio_files.info(path).sr, self.sr)

    def _check_frames(self, blocks: Iterable[FloatArray]) -> Iterator[FloatArray]:
        """Pass blocks of frames on; refuse frames that are no numbers, and name the first of them."""
        frames = 0
        for block in _without_warnings(blocks):
            if block.ndim != 2:
                raise FeatureError(f"compute_blocks of {type(self).__name__} must give (frames, dims); got shape {block.shape}")
            if not np.isfinite(block).all():
                frames += int((~np.isfinite(block)).any(axis=1).argmax())
                raise FeatureError(
                    f"{type(self).__name__} is not finite at frame {frames} ({frames * self.audio_hop / self.sr:.2f} s); look whether the "
                    "samples there are far beyond full scale, 1; else give its logarithm a floor, as Decibels(amin=...) and "
                    "NaturalLog(floor=...) do, or fix its compute_blocks"
                )
            frames += len(block)
            yield block
        if not frames:
            raise FeatureError(f"{type(self).__name__} gives no frames for this audio; fix its compute_blocks")

    def extract(
        self,
        dataset: Dataset,
        *,
        jobs: int | None = None,
        backend: Backend = "processes",
        address: str | None = None,
        on_error: OnError = "raise",
        progress: bool = False,
    ) -> FeatureStore:
        """Compute and store the feature of every clip that is new or whose audio has changed; return the store.

        If it is interrupted, the next call resumes it. Several processes may extract the same dataset at once.

        Parameters
        ----------
        dataset : whose clips are read; the store lies in ``features/<fingerprint>`` in the folder `Dataset.derived`.
        jobs, backend, address : see `dcasekit.core.parallel.map_clips`.
        on_error : ``"raise"`` (default): stop at the first clip that cannot be processed. ``"skip"``: leave such clips out, log them and
            list them in `FeatureStore.skipped`; only a full disk and a missing package still raise.
        progress : show a progress bar.

        Raises
        ------
        AudioError, FeatureError : a clip cannot be read, or its feature cannot be computed.
        StorageError : the store cannot be written.
        """
        store = self.store(dataset)
        if not (store.folder / "settings.json").exists():
            write_json(place(store.folder, "settings.json", kind=KIND), {"class": type(self).__name__, **self._stored_settings})
        bar = f"Extracting {self.fingerprint}" if progress else None

        def mapper(function: Callable[..., Any], clips: Sequence[Clip]) -> Iterator[Any]:
            if clips:
                self._prepare()
            size = total_size(clip.path for clip in clips)
            return map_clips(function, clips, jobs=jobs, backend=backend, address=address, size=size, progress=bar)

        return fill(store, self.compute_file, dataset.clips, mapper=mapper, on_error=on_error)

    def check_if_extracted(self, dataset: Dataset) -> bool:
        """Tell whether the feature of every clip is stored and its audio has not changed since, so that `extract` has nothing to do."""
        return is_filled(self.store(dataset), dataset.clips)

    def store(self, dataset: Dataset) -> FeatureStore:
        """Open the store of this feature for a dataset; it may still be empty."""
        return FeatureStore(inside(dataset.derived, f"features/{self.fingerprint}"))

    def grid(self, computed: int, duration: Seconds) -> Grid:
        """Return the `Grid` of a clip that lasts `duration` seconds and has `computed` frames: its frames and windows in time."""
        window, step = self.sequence_frames, self.sequence_hop
        return Grid(computed, duration, self.audio_hop, self.sr, window, step, self.least_real)

    def get_shape(self, length_sec: Seconds = 10.0) -> tuple[int, int, int]:
        """Return (windows, frames per window, dims) for a recording that lasts `length_sec` seconds."""
        grid = self.grid(len(self.compute(np.zeros(round(length_sec * self.sr), np.float32))), length_sec)
        return len(grid.starts), grid.length, self.dims

    @cached_property
    def dims(self) -> int:
        """Number of values per frame."""
        return next(self.compute_blocks([np.zeros(4 * max(self.audio_win, self.audio_hop, self._longest), np.float32)])).shape[1]

    @property
    def needs_clip(self) -> bool:
        """Whether frames depend on the whole recording, so that none can be computed before its end."""
        return False

    @property
    def sequence_frames(self) -> int | None:
        """Number of frames of a window; ``None``: all frames of the clip."""
        return None if self.sequence_time is None else self._whole_frames(self.sequence_time)

    @property
    def sequence_hop(self) -> int:
        """Number of frames from the beginning of one window to that of the next."""
        return self._whole_frames(self.sequence_hop_time)

    @property
    def settings(self) -> dict[str, Any]:
        """All settings as JSON values; `from_settings` makes the feature again."""
        return {field.name: _encode(getattr(self, field.name)) for field in fields(self)}

    @cached_property
    def fingerprint(self) -> str:
        """Name of the store's folder: the class, and a hash of all settings that change stored numbers (those of windows do not)."""
        digest = hashlib.sha256(json.dumps([_VERSION, _as_floats(self._stored_settings)], sort_keys=True).encode()).hexdigest()
        return f"{discover.address(type(self)).replace(':', '.')}-{digest[:12]}"

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Self:
        """Make a feature again from its `settings`.

        Raises
        ------
        FeatureError : a setting is unknown or out of its range.
        """
        try:
            return cls(**{name: _decode(value) for name, value in settings.items()})
        except TypeError as error:
            known = ", ".join(field.name for field in fields(cls))
            raise FeatureError(f"{cls.__name__}: {error}; its settings are: {known}") from error

    @classmethod
    def preset(cls, name: str, **changes: Any) -> Self:
        """Make a published front end by its name, with the settings and windows of a baseline or a paper.

        Parameters
        ----------
        name : one of `dcasekit.features.presets`, which tells for each where it was published and which scaler to use after it.
        **changes : settings to use instead of the published ones.

        Raises
        ------
        FeatureError : there is no preset of this name, it is a preset of another feature, or a setting is unknown.

        Examples
        --------
        >>> from dcasekit.features import MelSpectrogram
        >>> MelSpectrogram.preset("dcasenet", sequence_time=1.0).sequence_frames
        50
        """
        found = find_preset(name)
        kind = discover.load("features", found.feature)
        made = cls if issubclass(cls, kind) else kind
        if not issubclass(made, cls):
            raise FeatureError(f"{name!r} is a preset of {kind.__name__}, not of {cls.__name__}: write {kind.__name__}.preset({name!r})")
        return cast("Self", made(**{**found.settings, **changes}))

    def _prepare(self) -> None:  # noqa: B027 - most features need nothing but the clip
        """Raise `FeatureError` if no clip at all can be treated here, for instance because a file is missing."""

    @property
    def _stored_settings(self) -> dict[str, Any]:
        return {name: value for name, value in self.settings.items() if name not in self._WINDOWING}

    def _whole_frames(self, seconds: Seconds) -> int:
        """Count the whole frames in so many seconds, at least one; 0.7 s of 20 ms frames are 35, whatever binary numbers say."""
        return max(1, int(seconds * self.sr / self.audio_hop + 1e-6))

    @property
    def _longest(self) -> int:
        return max((getattr(getattr(self, "stft", None), "n_fft", None) or 0), 1)


def compute_stream(features: FeatureExtractor, blocks: Iterable[FloatArray], sr: Hz) -> Iterator[FloatArray]:
    """Compute the feature of consecutive blocks of one recording with sampling rate `sr`, resampled as files are.

    Parameters
    ----------
    blocks : (samples,), float32, of any lengths, as they arrive from a microphone for instance.
    sr : their sampling rate in Hz.

    Yields
    ------
    arrays (frames, dims), float32.
    """
    resample = resample_sinc if features.resampler == "sinc" else audio_files.resample_blocks
    yield from features._check_frames(features.compute_blocks(resample(blocks, sr, features.sr)))


def _encode(value: Any) -> Any:
    """Write a nested settings object as a dict that names its class."""
    if is_dataclass(value) and not isinstance(value, type):
        return {"class": type(value).__name__, **asdict(value)}
    return value


def _as_floats(value: Any) -> Any:
    """Make equal settings look equal: 50 Hz is 50.0 Hz."""
    if isinstance(value, Mapping):
        return {name: _as_floats(item) for name, item in value.items()}
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _without_warnings(blocks: Iterable[FloatArray]) -> Iterator[FloatArray]:
    """Pass blocks on without what NumPy says while they are computed: those that are not finite are refused by name."""
    computed = iter(blocks)
    while True:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            block = next(computed, None)
        if block is None:
            return
        yield block


def _decode(value: Any) -> Any:
    if not (isinstance(value, Mapping) and "class" in value):
        return value
    if (kind := _NESTED.get(value["class"])) is None:
        raise FeatureError(f"{value['class']!r} is not a settings class of dcasekit.features; known: {', '.join(_NESTED)}")
    return kind(**{name: item for name, item in value.items() if name != "class"})
