"""Waveforms in the place of stored features: windows of samples with all that their frames see, for a front end on the device."""

import math
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dcasekit.annotations import TIME_TOLERANCE
from dcasekit.core.units import FloatArray
from dcasekit.errors import DatasetError
from dcasekit.features import RawAudio
from dcasekit.features._store import Entry, FeatureStore
from dcasekit.features.base import FeatureExtractor


class Rows(Protocol):
    """What rows of samples are read from: a `FeatureStore`, or a `Loaded` part of one."""

    def read(self, clip: str, start: int, stop: int) -> FloatArray: ...  # noqa: D102


class Waveforms:
    """Features that are not stored but computed from stored waveforms when they are read, and windows of samples to compute them from.

    It is read like a `FeatureStore` of the features.

    Parameters
    ----------
    features : a spectral feature (with an `STFT`) whose frames depend only on the samples around them, and whose windows have a length.
    raw : the feature extractor of the stored waveforms, with the same sampling rate, hop and resampler.
    store : the stored waveforms: rows of `audio_hop` samples, one for each frame.

    Raises
    ------
    DatasetError : rate, hop or resampler differ, or the features are not of this kind.
    """

    def __init__(self, features: FeatureExtractor, raw: RawAudio, store: FeatureStore) -> None:
        asked, given = ((each.sr, each.audio_hop, each.resampler) for each in (features, raw))
        if asked != given:
            raise DatasetError(f"waveforms must have the rate, hop and resampler of the features, {asked}; got RawAudio of {given}")
        stft: Any = getattr(features, "stft", None)
        if stft is None or features.needs_clip or features.sequence_frames is None:
            raise DatasetError(
                f"this {type(features).__name__} cannot be computed window by window: it is no spectrum, its windows have no length, or it "
                "depends on the whole clip (top_db, ref='max'); extract it, and leave waveforms out"
            )
        self.features, self.store = features, store
        self._stft, self._n_fft = stft, stft.length(features.audio_win)
        self._half = self._n_fft // 2 if stft.center else 0
        self._lost = int(bool(stft.pre_emphasis))  # samples that pre-emphasis takes
        self._last: tuple[str, FloatArray] | None = None

    @property
    def skipped(self) -> Any:
        """Clip id -> why its waveform could not be stored, see `FeatureStore.skipped`."""
        return self.store.skipped

    def entry(self, clip: str) -> Entry:
        """Describe the features of a clip: their shape, and where its waveform is stored.

        Raises
        ------
        DatasetError : the clip is shorter than one analysis window.
        """
        raw = self.store.entry(clip)
        prepared = self._prepared(raw)
        frames = 1 + (prepared + 2 * self._half - self._n_fft) // self.features.audio_hop
        if frames < 1 or prepared <= self._half:
            raise DatasetError(f"{clip}: the audio has fewer samples than one window of the features; leave it out")
        return raw._replace(frames=frames, dims=self.features.dims)

    def read(self, clip: str, start: int = 0, stop: int | None = None) -> FloatArray:
        """Compute frames [start, stop) of a clip, (frames, dims); all frames of the clip that was read last are kept in memory."""
        if self._last is None or self._last[0] != clip:
            samples = self.store.read(clip).reshape(-1)[: self._prepared(self.store.entry(clip)) + self._lost]
            self._last = clip, self.features.compute(samples)
        return self._last[1][start:stop]

    def reach(self, clip: str, start: int) -> tuple[int, int]:
        """Return the rows [start, stop) of samples from which the window that begins at frame `start` is computed."""
        places, _ = self._places(clip, start)
        hop = self.features.audio_hop
        return int(places.min()) // hop, -(-(int(places.max()) + 1 + self._lost) // hop)

    def window(self, clip: str, start: int, rows: Rows) -> FloatArray:
        """Return the samples (samples,) of the window that begins at frame `start`, padded and pre-emphasised, ready to be transformed."""
        places, beyond = self._places(clip, start)
        first, stop = self.reach(clip, start)
        audio = rows.read(clip, first, stop).reshape(-1)
        if self._stft.offset:
            audio = audio + np.float32(self._stft.offset)
        if self._stft.pre_emphasis:
            audio = audio[1:] - np.float32(self._stft.pre_emphasis) * audio[:-1]
        samples = audio[places - first * self.features.audio_hop]
        samples[beyond] = 0
        return samples

    def _places(self, clip: str, start: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Find the prepared samples that a window sees; reflected at the clip's ends, or zeros that lie beyond them."""
        end = self._prepared(self.store.entry(clip))
        hop, frames = self.features.audio_hop, self.features.sequence_frames or 0
        places = np.arange(start * hop - self._half, (start + frames - 1) * hop - self._half + self._n_fft)
        beyond = ((places < 0) | (places >= end)) & (self._stft.pad == "constant")
        places = np.abs(places)
        return np.clip(np.where(places >= end, 2 * (end - 1) - places, places), 0, end - 1), beyond

    def _prepared(self, entry: Entry) -> int:
        """Count a clip's samples after pre-emphasis; those that its last row is filled up with are none."""
        hops = entry.duration * self.features.sr
        # As the resamplers round: soxr to the nearest number, the other one up.
        samples = math.ceil(hops - TIME_TOLERANCE) if self.features.resampler == "sinc" else math.floor(hops + 0.5 + TIME_TOLERANCE)
        return samples - self._lost
