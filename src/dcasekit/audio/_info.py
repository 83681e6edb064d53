"""What is known of a file before its samples are read."""

from dataclasses import dataclass
from typing import NamedTuple

from dcasekit.core.units import Hz, Seconds


class Part(NamedTuple):
    """Bytes of a file that are decoded in one go; chained and joined files have several, one after the other.

    Parameters
    ----------
    begin, end : its bytes; an `end` of ``None``: the whole file.
    samples : that decoding gives, per channel.
    seeks : whether libsndfile finds any place in it exactly; else all that comes before must be decoded.
    endless : whether libsndfile must not learn where the part ends: it would estimate the length by it, and stop there.
    """

    begin: int = 0
    end: int | None = None
    samples: int = 0
    seeks: bool = True
    endless: bool = False


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """What a file holds: samples per channel, rate in Hz, channels, and the coding of a sample (libsndfile's name).

    Parameters
    ----------
    data_start, dtype : byte where the samples begin, and their numpy type (``"<i3"`` for 24 bits), if they lie there as plain numbers.
    parts : of a compressed file.
    """

    samples: int
    sr: Hz
    channels: int
    subtype: str
    data_start: int | None = None
    dtype: str = ""
    parts: tuple[Part, ...] = ()

    @property
    def duration(self) -> Seconds:
        """Length in seconds."""
        return self.samples / self.sr
