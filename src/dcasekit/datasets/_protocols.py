"""How a dataset is split: the one source of splits, which refuses to cut a group."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dcasekit.annotations import Clip
from dcasekit.errors import DatasetError

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Split:
    """Clips to train on, to choose with, and to report on. `validation` may be empty; `test` chooses nothing, ever."""

    train: tuple[Clip, ...]
    validation: tuple[Clip, ...]
    test: tuple[Clip, ...]


class Protocol(ABC):
    """A published way to evaluate on a dataset."""

    @property
    def validation_folds(self) -> tuple[str, ...]:
        """Folds that are always validated on, if the protocol has such."""
        return ()

    @abstractmethod
    def rounds(self, folds: Sequence[str]) -> tuple[str, ...]:
        """Name what `split` can be asked for: every fold of a cross-validation, else the folds that are tested on."""

    @abstractmethod
    def part(self, clip: Clip, folds: Sequence[str], fold: str, *, validation: bool) -> str:
        """Say what a clip is for when `fold` is tested on: ``"train"``, ``"validation"``, ``"test"``, or ``""`` for nothing."""

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
            of_all = f"the folds with clips are: {', '.join(folds) or 'none'}"
            raise DatasetError(f"no fold {fold!r} to test on; there are: {', '.join(known)}" if known else f"nothing to test on; {of_all}")
        parts: dict[str, list[Clip]] = {"train": [], "validation": [], "test": [], "": []}
        for clip in clips:
            parts[self.part(clip, folds, fold, validation=validation)].append(clip)
        for name in ("train", "test"):
            if not parts[name]:
                raise DatasetError(f"testing on {fold!r} leaves no clips to {name} on; the folds are: {', '.join(folds)}")
        if validation and not parts["validation"] and (lacking := self.validation_folds):
            _log.warning("testing on %r leaves no clips to validate on: %s has none; see validation_split", fold, ", ".join(lacking))
        split = Split(*(tuple(parts[name]) for name in ("train", "validation", "test")))
        refuse_cut_groups((split.train, split.validation, split.test))
        return split


@dataclass(frozen=True, slots=True)
class CrossValidation(Protocol):
    """Predefined folds: test on one, validate on the next (circular), train on the rest.

    Parameters
    ----------
    held_out : folds that lie apart: never trained or validated on; tested on with a model trained on all other folds.
    """

    held_out: tuple[str, ...] = ()

    def rounds(self, folds: Sequence[str]) -> tuple[str, ...]:
        """Every fold is tested once, those that lie apart last."""
        return (*self._inner(folds), *(fold for fold in folds if fold in self.held_out))

    def part(self, clip: Clip, folds: Sequence[str], fold: str, *, validation: bool) -> str:
        """Take the next fold to validate on; for a fold that lies apart, none."""
        if clip.fold == fold:
            return "test"
        inner = self._inner(folds)
        following = inner[(inner.index(fold) + 1) % len(inner)] if validation and fold in inner else None
        return "validation" if clip.fold == following else "train" if clip.fold in inner else ""

    def _inner(self, folds: Sequence[str]) -> tuple[str, ...]:
        return tuple(fold for fold in folds if fold not in self.held_out)


@dataclass(frozen=True, slots=True)
class ListedFolds(Protocol):
    """Folds whose validation clips are published too: ``clip.extra[fold]`` says what a clip is for in each round."""

    def rounds(self, folds: Sequence[str]) -> tuple[str, ...]:
        """Every fold is tested once."""
        return tuple(folds)

    def part(self, clip: Clip, folds: Sequence[str], fold: str, *, validation: bool) -> str:  # noqa: ARG002
        """Look it up; without validation, its clips are trained on."""
        part = clip.extra[fold]
        return "train" if part == "validation" and not validation else part


@dataclass(frozen=True, slots=True)
class TrainValidateTest(Protocol):
    """Fixed folds to train, to validate and to test on. Published validation clips are never trained on.

    Parameters
    ----------
    train, validate, test : names of folds; each one of `test` is a round of its own.
    """

    train: tuple[str, ...] = ("train",)
    validate: tuple[str, ...] = ("validate",)
    test: tuple[str, ...] = ("test",)

    @property
    def validation_folds(self) -> tuple[str, ...]:
        """Those named so."""
        return self.validate

    def rounds(self, folds: Sequence[str]) -> tuple[str, ...]:
        """Test on each test fold that is there."""
        return tuple(fold for fold in self.test if fold in folds)

    def part(self, clip: Clip, folds: Sequence[str], fold: str, *, validation: bool) -> str:  # noqa: ARG002
        """Look the clip's fold up."""
        if clip.fold == fold:
            return "test"
        return "train" if clip.fold in self.train else "validation" if validation and clip.fold in self.validate else ""


@dataclass(frozen=True, slots=True)
class TrainTest(TrainValidateTest):
    """Fixed folds to train and to test on: no validation clips; `Dataset.validation_split` draws them from the training clips."""

    validate: tuple[str, ...] = ()


def refuse_cut_groups(parts: Iterable[Iterable[Clip]]) -> None:
    """Raise if clips of one group (one source recording, one location) lie in two parts."""
    seen: dict[str, tuple[int, str]] = {}
    for number, part in enumerate(parts):
        for clip in part:
            first, other = seen.setdefault(clip.group, (number, clip.id)) if clip.group else (number, "")
            if first != number:
                raise DatasetError(
                    f"the split cuts group {clip.group!r}: clips {other!r} and {clip.id!r} would lie on both sides, and the result "
                    "would be too good; put all clips of a group into one fold, or draw by groups (balance='identifier')"
                )
