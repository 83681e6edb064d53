"""Which clips a generator takes, and which windows and targets go together."""

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias, cast, get_args

from dcasekit.annotations import Clip
from dcasekit.datasets.base import Dataset
from dcasekit.errors import DatasetError
from dcasekit.features.base import FeatureExtractor

Windows: TypeAlias = Literal["all", "random", "joined"]


def check_windows(data: Any) -> None:
    """Raise `DatasetError` if the windows, targets and buffer of a `DataGenerator` do not go together."""
    if data.windows not in get_args(Windows):
        raise DatasetError(f"windows must be one of {', '.join(get_args(Windows))}; got {data.windows!r}")
    if data.buffer is not None and (data.buffer < 1 or not data.train):
        raise DatasetError(f"buffer is the number of windows that are shuffled in memory, where train=True; got {data.buffer}")
    if data.windows != "all" and data.features.sequence_frames is None:
        raise DatasetError(f"windows={data.windows!r} cuts windows of one length; give the features a sequence_time")
    if data.windows == "joined" and data.waveforms is not None:
        raise DatasetError("windows of joined clips have no waveform of their own; extract the features, and leave waveforms out")
    if data.windows == "joined" and data.target in ("clip", "window"):
        raise DatasetError(f"a window of joined clips has no single {data.target}; use target='frame'")
    if isinstance(data.target, FeatureExtractor):
        asked, given = ((each.audio_hop, each.sr) for each in (data.target, data.features))
        if asked != given:
            raise DatasetError(
                f"features used as targets must have the frames of those used as input; got hop and rate {asked}, not {given}"
            )


def choose_clips(dataset: Dataset, folds: Sequence[str] | Sequence[Clip]) -> Sequence[Clip]:
    """Return the clips of these folds, or the clips that were given."""
    if isinstance(folds, str):
        raise DatasetError(f"folds must be a list of fold names; got the string {folds!r}: write folds=[{folds!r}]")
    if all(isinstance(fold, Clip) for fold in folds):
        return cast("Sequence[Clip]", folds)
    return dataset.select(cast("Sequence[str]", folds))
