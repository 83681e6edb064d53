"""The augmentation: draw what to do, then do it to the audio and to its events."""

import hashlib
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from numbers import Real
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import numpy as np

from dcasekit.annotations import Event
from dcasekit.core import discover
from dcasekit.core.settings import Settings
from dcasekit.core.units import FloatArray, Hz
from dcasekit.errors import DatasetError, DcasekitError

Events: TypeAlias = tuple[Event, ...] | None

# Raised when a transform computes other samples than before, so that copies made before are not mistaken for current ones.
_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Augmentation(Settings, ABC):
    """Base class of augmentations: transforms of a recording and of its events.

    A subclass declares its settings as dataclass fields and defines `transform`, and also `draw` if it is random. All random numbers are
    drawn in `draw`, none in `apply`. So what was drawn can be printed, stored, and applied again with the same result.
    """

    _error: ClassVar[type[DcasekitError]] = DatasetError
    _elsewhere: ClassVar[Mapping[str, str]] = {"semitones": "n_semitones", "n_steps": "n_semitones", "rate": "factor", "snr_db": "snr"}

    def __post_init__(self) -> None:
        self._make_plain()
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type in (float, "float") or (field.type in (float | None, "float | None") and value is not None):
                if not isinstance(value, Real) or isinstance(value, bool) or not math.isfinite(value):
                    raise DatasetError(f"{type(self).__name__}: {field.name} must be a finite number; got {value!r}")
                object.__setattr__(self, field.name, float(value))  # so that 1 and 1.0 are one setting

    @abstractmethod
    def transform(self, audio: FloatArray, events: Events, params: Mapping[str, Any], *, sr: Hz) -> tuple[FloatArray, Events]:
        """Do the work of `apply`, without its checks; a subclass defines it.

        The parameters and the result are those of `apply`. `audio` must not be changed, and the returned audio must not depend on `events`.
        """

    def draw(self, rng: np.random.Generator) -> dict[str, Any]:  # noqa: ARG002
        """Draw the `params` of `apply`: JSON values that fully determine its result. By default the settings; nothing is random."""
        return self.settings

    def files(self, params: Mapping[str, Any]) -> list[Path]:  # noqa: ARG002
        """List the files that `apply` reads for these `params`, so that a copy is made again when one changes. By default none."""
        return []

    def apply(self, audio: FloatArray, events: Events, params: Mapping[str, Any], *, sr: Hz) -> tuple[FloatArray, Events]:
        """Transform a recording, and its events with it.

        Parameters
        ----------
        audio : (samples,), mono, finite, full scale is 1; it is not changed.
        events : of the recording, in seconds from its beginning; ``None``: their times are unknown, and stay so.
        params : what `draw` returned.
        sr : sampling rate of the audio in Hz.

        Returns
        -------
        audio : (samples,), float32; its length may be another, and values may lie outside [-1, 1].
        events : those of the returned audio, or ``None``.

        Raises
        ------
        DatasetError : the audio is not one-dimensional, empty or not finite.
        """
        audio = np.asarray(audio, dtype=np.float32)
        if audio.ndim != 1 or not len(audio) or not np.isfinite(audio).all():
            raise DatasetError(f"expected mono audio, (samples,), not empty, all finite; got shape {audio.shape}")
        result, events = self.transform(audio, events, params, sr=sr)
        return np.asarray(result, dtype=np.float32), events

    @property
    def settings(self) -> dict[str, Any]:
        """All settings as JSON values; `from_dict` makes the augmentation again from them and a ``type``."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @cached_property
    def fingerprint(self) -> str:
        """Name of the folder of copies: the class and a hash of all settings (instead of a folder, of the names of the files in it)."""
        digest = hashlib.sha256(json.dumps([_VERSION, self._identity], sort_keys=True).encode()).hexdigest()
        return f"{discover.address(type(self)).replace(':', '.')}-{digest[:12]}"

    @property
    def _identity(self) -> dict[str, Any]:
        """What the fingerprint stands for, as JSON values that are the same on every machine."""
        return self.settings

    @staticmethod
    def from_dict(description: Mapping[str, Any]) -> "Augmentation":
        """Make an augmentation from a dict, as in the DCASE-models paper: its ``type`` and its settings.

        Parameters
        ----------
        description : a mapping, which is not changed. Its ``type`` is the name of the augmentation's module or class, such as
            ``"pitch_shift"`` or ``"PitchShift"`` (the paper's ``"time_stretching"`` is ``"time_stretch"``), or ``"package.module:Class"``
            for one of your own.

        Raises
        ------
        NameNotFoundError : there is no augmentation of this name; the message suggests the closest one.
        DatasetError : there is no ``type``, or a setting is unknown or out of its range.

        Examples
        --------
        >>> Augmentation.from_dict({"type": "pitch_shift", "n_semitones": -1})
        PitchShift(n_semitones=-1.0, engine='builtin')
        """
        if not isinstance(description, Mapping) or not isinstance(description.get("type"), str):
            raise DatasetError(
                f"an augmentation is an Augmentation or a dict like {{'type': 'pitch_shift', 'n_semitones': -1}}; got {description!r}"
            )
        settings = dict(description)
        name = settings.pop("type")
        kind = discover.load("augmentations", name)
        if not (isinstance(kind, type) and issubclass(kind, Augmentation)):
            raise DatasetError(f"{name!r} is not an Augmentation")
        try:
            return kind(**settings)
        except TypeError as error:
            known = ", ".join(field.name for field in fields(kind))
            raise DatasetError(f"augmentation {name!r}: {error}; its settings are: {known}") from error


def refuse_outside(augmentation: Augmentation, name: str, low: float, high: float, unit: str) -> None:
    """Raise `DatasetError` unless the setting called `name` lies in [low, high]; `unit` is for the message."""
    value = getattr(augmentation, name)
    if not low <= value <= high:
        raise DatasetError(f"{type(augmentation).__name__}: {name} must lie in [{low:g}, {high:g}] {unit}; got {value!r}")


def refuse_reversed(augmentation: Augmentation, name: str, unit: str) -> None:
    """Raise `DatasetError` if the setting ``min_<name>`` is above ``max_<name>``; `unit` is for the message."""
    low, high = getattr(augmentation, f"min_{name}"), getattr(augmentation, f"max_{name}")
    if low > high:
        raise DatasetError(f"{type(augmentation).__name__}: min_{name} must not be above max_{name}; got {low} and {high} {unit}".rstrip())
