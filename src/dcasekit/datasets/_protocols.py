"""How a dataset is split: the one source of splits, which refuses to cut a group."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dcasekit.annotations import Clip
from dcasekit.errors import DatasetError


@dataclass(frozen=True, slots=True)
class Split:
    """Clips to train on, to choose with, and to report on. `validation` may be empty; `test` chooses nothing, ever."""

    train: tuple[Clip, ...]
    validation: tuple[Clip, ...]
    test: tuple[Clip, ...]


class Protocol(ABC):
    """A published way to evaluate on a dataset."""

    @abstractmethod
    def parts(self, folds: Sequence[str], fold: str, *, validation: bool) -> tuple[list[str], list[str], list[str]]:
        """Name the folds to train on, to validate on and to test on."""

    @abstractmethod
    def rounds(self, folds: Sequence[str]) -> tuple[str, ...]:
        """Name what `split` can be asked for: every fold of a cross-validation, else ``"test"``."""

    def split(self, clips: Sequence[Clip], folds: Sequence[str], fold: str | None = None, *, validation: bool = True) -> Split:
        """Split clips for one round.

        Parameters
        ----------
        clips : of the whole dataset.
        folds : all folds that occur, in order.
        fold : the round, one of `rounds`; ``None``: the first.
        validation : ``False``: keep no validation clips back where the protocol takes them from training data.

        Raises
        ------
        DatasetError : no such round, a part without clips, or a group with clips in two parts.
        """
        known = self.rounds(folds)
        fold = known[0] if fold is None and known else fold
        if fold is None or fold not in known:
            raise DatasetError(f"no fold {fold!r} to test on; there are: {', '.join(known) or 'none (no clips found)'}")
        parts = [tuple(clip for clip in clips if clip.fold in names) for names in self.parts(folds, fold, validation=validation)]
        for name, part in (("train", parts[0]), ("test", parts[2])):
            if not part:
                raise DatasetError(f"testing on {fold!r} leaves no clips to {name} on; the folds are: {', '.join(folds)}")
        refuse_cut_groups(parts)
        return Split(*parts)


@dataclass(frozen=True, slots=True)
class CrossValidation(Protocol):
    """Predefined folds: test on one, validate on the next (circular), train on the rest."""

    def rounds(self, folds: Sequence[str]) -> tuple[str, ...]:
        """Every fold is tested once."""
        return tuple(folds)

    def parts(self, folds: Sequence[str], fold: str, *, validation: bool) -> tuple[list[str], list[str], list[str]]:
        """Take the next fold to validate on."""
        following = [folds[(folds.index(fold) + 1) % len(folds)]] if validation else []
        return [name for name in folds if name not in (fold, *following)], following, [fold]


@dataclass(frozen=True, slots=True)
class TrainValidateTest(Protocol):
    """Fixed folds ``train``, ``validate``, ``test``."""

    def rounds(self, folds: Sequence[str]) -> tuple[str, ...]:
        """There is one round."""
        return ("test",) if "test" in folds else ()

    def parts(self, folds: Sequence[str], fold: str, *, validation: bool) -> tuple[list[str], list[str], list[str]]:
        """Leave published validation clips out where there is no validation; they are never trained on."""
        return ["train"], ["validate"] if validation else [], [fold]


@dataclass(frozen=True, slots=True)
class TrainTest(Protocol):
    """Fixed folds ``train`` and ``test``; validation clips must be drawn from ``train`` and are none here."""

    def rounds(self, folds: Sequence[str]) -> tuple[str, ...]:
        """There is one round."""
        return ("test",) if "test" in folds else ()

    def parts(self, folds: Sequence[str], fold: str, *, validation: bool) -> tuple[list[str], list[str], list[str]]:  # noqa: ARG002
        """Validate on nothing: the test fold is not for choosing."""
        return ["train"], [], [fold]


def refuse_cut_groups(parts: Iterable[Iterable[Clip]]) -> None:
    """Raise if clips of one group (one source recording, one location) lie in two parts."""
    seen: dict[str, tuple[int, str]] = {}
    for number, part in enumerate(parts):
        for clip in part:
            first, other = seen.setdefault(clip.group, (number, clip.id)) if clip.group else (number, "")
            if first != number:
                raise DatasetError(
                    f"the split cuts group {clip.group!r}: clips {other!r} and {clip.id!r} would lie on both sides, and the result "
                    "would be too good; put all clips of a group into one fold"
                )
