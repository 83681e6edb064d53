"""SideBySide: several features of the same audio, for a network with several inputs."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate, pairwise, tee
from typing import Any

import numpy as np

from dcasekit.core import discover
from dcasekit.core.units import FloatArray
from dcasekit.errors import FeatureError
from dcasekit.features.base import FeatureExtractor


@dataclass(frozen=True, kw_only=True)
class SideBySide(FeatureExtractor):
    """Several features side by side in each frame: (frames, sum of their dims); a network takes them apart with `split` or `columns`.

    In this way a network with several inputs is trained, evaluated and saved like any other. ``Scaler("standard")`` scales each dimension
    by itself.

    Parameters
    ----------
    sequence_time, sequence_hop_time, least_real, audio_win, audio_hop, sr, resampler : see `FeatureExtractor`.
    parts : name -> feature. A feature is an object, or a dict as in a model file: ``{"class": "raw_audio", "settings": {...}}``; settings
        for rate, resampler, hop and analysis window that the dict leaves out are those of this object. The windows of the parts
        are ignored. Each part must have this rate and resampler, and this hop or a multiple of it; its frames are then repeated.

    Raises
    ------
    FeatureError : there are no parts, or one has another rate, resampler or hop; the message names it.

    Examples
    --------
    >>> from dcasekit.features import MFCC, MelSpectrogram
    >>> both = SideBySide(parts={"mel": MelSpectrogram(), "mfcc": MFCC()})
    >>> both.columns
    {'mel': slice(0, 64, None), 'mfcc': slice(64, 84, None)}
    >>> [part.shape for part in both.split(np.zeros((8, 32, 84))).values()]
    [(8, 32, 64), (8, 32, 20)]

    In a network::

        def forward(self, x):
            parts = self.front_end.split(x)
            return self.head(torch.cat([self.mels(parts["mel"]), self.coefficients(parts["mfcc"])], dim=-1))
    """

    parts: Mapping[str, Any] = field(default_factory=lambda: {name: {"class": name} for name in ("spectrogram", "raw_audio")})

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.parts, Mapping) or not self.parts or "class" in self.parts:
            raise FeatureError(f"parts must be features by name, none of them called 'class'; got {self.parts!r}")
        object.__setattr__(self, "parts", {name: _describe(part) for name, part in self.parts.items()})
        for name, part in self._made.items():
            if (part.sr, part.resampler) != (self.sr, self.resampler) or part.audio_hop % self.audio_hop:
                raise FeatureError(
                    f"part {name!r} has sr={part.sr}, resampler={part.resampler!r}, audio_hop={part.audio_hop}; it needs sr={self.sr}, "
                    f"resampler={self.resampler!r} and audio_hop={self.audio_hop} or a multiple: give the same settings to all"
                )

    def compute_blocks(self, blocks: Iterable[FloatArray]) -> Iterator[FloatArray]:
        """Compute all parts; the frames that all have stand side by side."""
        streams = [self._repeated(part, source) for part, source in zip(self._made.values(), tee(blocks, len(self.parts)), strict=True)]
        waiting = [next(stream, None) for stream in streams]
        while all(block is not None for block in waiting):
            ready = [block for block in waiting if block is not None]
            count = min(map(len, ready))
            if count:
                yield np.concatenate([block[:count] for block in ready], axis=1)
            rest = [block[count:] for block in ready]
            waiting = [block if len(block) else next(stream, None) for block, stream in zip(rest, streams, strict=True)]

    def _repeated(self, part: FeatureExtractor, blocks: Iterable[FloatArray]) -> Iterator[FloatArray]:
        """Compute a part, each frame as often as it lasts."""
        times = part.audio_hop // self.audio_hop
        return (block if times == 1 else np.repeat(block, times, axis=0) for block in part.compute_blocks(blocks))

    def split(self, x: Any) -> dict[str, Any]:
        """Split an array or a tensor (..., dims) into its parts: name -> (..., dims of the part)."""
        return {name: x[..., columns] for name, columns in self.columns.items()}

    @property
    def columns(self) -> dict[str, slice]:
        """Name of each part -> the slice of the last axis that holds it."""
        ends = accumulate((part.dims for part in self._made.values()), initial=0)
        return {name: slice(*ends) for name, ends in zip(self.parts, pairwise(ends), strict=True)}

    @cached_property
    def dims(self) -> int:
        """Number of values per frame, of all parts together."""
        return sum(part.dims for part in self._made.values())

    @property
    def needs_clip(self) -> bool:
        """Whether frames of a part depend on the whole recording."""
        return any(part.needs_clip for part in self._made.values())

    def _prepare(self) -> None:
        for part in self._made.values():
            part._prepare()

    @cached_property
    def _made(self) -> dict[str, FeatureExtractor]:
        shared = {name: getattr(self, name) for name in ("sr", "resampler", "audio_hop", "audio_win")}
        return {name: _make(part, shared) for name, part in self.parts.items()}


def _describe(part: Any) -> dict[str, Any]:
    """Write a feature as it stands in a model file."""
    if isinstance(part, FeatureExtractor):
        return {"class": discover.address(type(part)), "settings": part._stored_settings}
    if isinstance(part, Mapping) and "class" in part and set(part) <= {"class", "settings"}:
        return {"class": part["class"], "settings": dict(part.get("settings", {}))}
    raise FeatureError(f"a part is a feature, or {{'class': name, 'settings': {{...}}}}; got {part!r}")


def _make(described: Mapping[str, Any], shared: Mapping[str, Any]) -> FeatureExtractor:
    """Make a feature; nothing but a feature may be called."""
    kind = discover.load("features", described["class"])
    if not (isinstance(kind, type) and issubclass(kind, FeatureExtractor)):
        raise FeatureError(f"a part must be a feature; {described['class']!r} is not one")
    return kind.from_settings({**shared, **described["settings"]})
