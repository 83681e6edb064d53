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
    """A transform of a recording. A new one states its settings as fields and writes `transform`; `draw` too, if it is random.

    Chance and work are apart: `draw` takes everything random from a generator, `apply` takes nothing from one. So what was drawn can be
    printed, stored, and applied again to the same samples.
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
        """Do what was drawn: `apply` without its checks. `audio` must not be written to, and the result's must not depend on `events`."""

    def draw(self, rng: np.random.Generator) -> dict[str, Any]:  # noqa: ARG002
        """Draw what `apply` needs, as JSON values that fully determine its result. Here: the settings; nothing is random."""
        return self.settings

    def files(self, params: Mapping[str, Any]) -> list[Path]:  # noqa: ARG002
        """List the files that `apply` reads for what was drawn, so that a copy is made again when they change. Here: none."""
        return []

    def apply(self, audio: FloatArray, events: Events, params: Mapping[str, Any], *, sr: Hz) -> tuple[FloatArray, Events]:
        """Transform a recording and move its events along.

        Parameters
        ----------
        audio : (samples,), mono, finite; it is left as it is.
        events : ``None``: their times are unknown, and stay so.
        params : what `draw` gave.
        sr : of the audio, Hz.

        Returns
        -------
        array (samples,), float32, not limited to [-1, 1], and the events in it.

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
        """All settings as JSON values; with ``type`` added, `from_dict` makes the augmentation again."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @cached_property
    def fingerprint(self) -> str:
        """Name of the folder of copies: the class and a hash of every setting (of a folder: of the names of the files in it)."""
        digest = hashlib.sha256(json.dumps([_VERSION, self._identity], sort_keys=True).encode()).hexdigest()
        return f"{discover.address(type(self)).replace(':', '.')}-{digest[:12]}"

    @property
    def _identity(self) -> dict[str, Any]:
        """What the fingerprint stands for, as JSON values that are the same on every machine."""
        return self.settings

    @staticmethod
    def from_dict(description: Mapping[str, Any]) -> "Augmentation":
        """Make an augmentation from the paper's form, a ``type`` and its settings; the mapping is left as it is.

        Parameters
        ----------
        description : ``type`` is a file stem or class name (``time_stretching`` is ``time_stretch``), or
            ``"package.module:Class"``.

        Raises
        ------
        NameNotFoundError : no augmentation is called so; the message names what comes closest.
        DatasetError : no ``type``, or settings that the augmentation does not have.

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
    """Raise unless ``low <= setting <= high``."""
    value = getattr(augmentation, name)
    if not low <= value <= high:
        raise DatasetError(f"{type(augmentation).__name__}: {name} must lie in [{low:g}, {high:g}] {unit}; got {value!r}")


def refuse_reversed(augmentation: Augmentation, name: str, unit: str) -> None:
    """Raise unless the range from ``min_<name>`` to ``max_<name>`` runs upwards."""
    low, high = getattr(augmentation, f"min_{name}"), getattr(augmentation, f"max_{name}")
    if low > high:
        raise DatasetError(f"{type(augmentation).__name__}: min_{name} must not be above max_{name}; got {low} and {high} {unit}".rstrip())
