"""Several sources of batches that are learned from in one step."""

import hashlib
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Self, TypeAlias, cast

from dcasekit.datasets.base import Task
from dcasekit.errors import DatasetError
from dcasekit.generator.arrays import Arrays
from dcasekit.generator.batch import Batch, Data, batch_bounds
from dcasekit.generator.generator import DataGenerator

Source: TypeAlias = DataGenerator | Arrays


class Together:
    """Several sources of data to train on together: every training step gets one batch from each.

    Each part is shuffled by itself, and again each time when all of its batches were used, however often that is within an epoch.

    Parameters
    ----------
    parts : name -> (generator or arrays, windows per batch). The windows that do not fill a part's last batch are left out until it is
        shuffled again. Parts with the same task must have the same labels and features (and should have the same scaler); each task is
        learned by a head of its own, see `TorchModelContainer.build_heads`.
    steps : number of steps that count as an epoch; ``None``: as many as the part with the most batches has.

    Raises
    ------
    DatasetError : there is no part, a part has fewer windows than its batch, parts of one task differ in labels or features, or `steps` is
        below 1.

    Examples
    --------
    ::

        data = Together({"strong": (strong, 12), "weak": (weak, 12), "unlabelled": (unlabelled, 24)})
        model.train(data, validation, objective=mean_teacher, average=0.999)
    """

    def __init__(self, parts: Mapping[str, tuple[Source, int]], *, steps: int | None = None) -> None:
        if not parts:
            raise DatasetError("Together needs at least one part: Together({'name': (generator, batch_size)})")
        self.parts: dict[str, Source] = {name: part for name, (part, _) in parts.items()}
        self.sizes = {name: size for name, (_, size) in parts.items()}
        for name, part in self.parts.items():
            if part.size < self.sizes[name] or self.sizes[name] < 1:
                raise DatasetError(
                    f"part {name!r} has only {part.size} windows, fewer than its batch size of {self.sizes[name]}; give a smaller one"
                )
        self._rounds = {name: part.size // self.sizes[name] for name, part in self.parts.items()}
        self.steps = max(self._rounds.values()) if steps is None else steps
        if self.steps < 1:
            raise DatasetError(f"steps must be at least 1; got {steps}")
        self.heads: dict[Task, Source] = {}
        for name, part in self.parts.items():
            first = self.heads.setdefault(part.task, part)
            if part.labels != first.labels or part.shape[1] != first.shape[1]:
                raise DatasetError(
                    f"part {name!r} and another are both of {part.task}, but their labels or features differ; they must be the same"
                )

    @property
    def size(self) -> int:
        """Number of windows of an epoch."""
        return self.steps * sum(self.sizes.values())

    @property
    def identity(self) -> str:
        """Hash of all that the batches depend on."""
        facts = [[name, part.identity, self.sizes[name]] for name, part in self.parts.items()]
        return hashlib.sha256(json.dumps([facts, self.steps]).encode()).hexdigest()

    def changed(self, change: Callable[[Data], Data]) -> Self:
        """Return the same with `change` applied to each part, for instance to set a scaler."""
        parts = {name: (cast("Source", change(part)), self.sizes[name]) for name, part in self.parts.items()}
        return type(self)(parts, steps=self.steps)

    def batches(self, epoch: int, *, seed: int) -> Iterator[dict[str, Batch]]:
        """Yield, for each step of an epoch, part's name -> batch; the same seed and epoch (from 0) give the same batches."""
        streams = {name: self._stream(name, epoch * self.steps, seed) for name in self.parts}
        for _ in range(self.steps):
            yield {name: next(stream) for name, stream in streams.items()}

    def _stream(self, name: str, done: int, seed: int) -> Iterator[Batch]:
        """Yield a part's batches for ever, from the step on that comes next."""
        number, first = divmod(done, self._rounds[name])
        own = seed + zlib.crc32(name.encode())  # parts of the same clips are shuffled apart
        while True:
            yield from self.parts[name].batches(number, self.sizes[name], seed=own, drop_last=True, first=first)
            number, first = number + 1, 0


def steps_of(data: Data | Together, batch_size: int, *, drop_last: bool = False) -> int:
    """Count the training steps of an epoch, one per batch; `batch_size` and `drop_last` are not used for a `Together`."""
    return data.steps if isinstance(data, Together) else len(batch_bounds(data.size, batch_size, drop_last=drop_last))
