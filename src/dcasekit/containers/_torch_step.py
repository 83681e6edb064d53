"""A step of training as an objective sees it: the network, the batches of each source, the averaged teacher."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dcasekit.containers._epochs import LearningBatch, check_targets
from dcasekit.containers._torch_distributed import Processes
from dcasekit.containers.training import Training
from dcasekit.errors import DcasekitError, ModelError, first_line

_LOSSES: Mapping[str, Callable[..., Tensor]] = {
    "cross_entropy": nn.functional.cross_entropy,
    "binary_cross_entropy": nn.functional.binary_cross_entropy_with_logits,
    "mse": lambda logits, y, **how: nn.functional.mse_loss(logits.sigmoid(), y, **how),
    "mse of answers": nn.functional.mse_loss,
}


class Part:
    """The batch of one source of data, on the device that trains.

    Attributes
    ----------
    x : windows (windows, frames, dims).
    y : targets (windows, labels) or (windows, frames, labels); NaN: unknown.
    mask : (windows, frames); False for frames that only fill up a window.
    tags : (windows, labels), tags of the whole clips; NaN: unknown.
    clips : id of each window's clip.
    task : task of the source, whose head answers.
    known : number of known targets.
    complete : whether y holds no NaN.
    """

    def __init__(self, batch: LearningBatch, device: torch.device, x: Tensor | None = None) -> None:
        self._batch, self._device = batch, device
        self.clips, self.task, self.known = batch.clips, batch.task, batch.known
        self.complete = not np.isnan(batch.y).any()
        self.x = torch.from_numpy(batch.x).to(device) if x is None else x
        self.y = torch.from_numpy(batch.y).to(device)

    @cached_property
    def mask(self) -> Tensor:
        """See above."""
        return torch.from_numpy(self._batch.mask).to(self._device)

    @cached_property
    def tags(self) -> Tensor:
        """See above."""
        return torch.from_numpy(self._batch.tags).to(self._device)


@dataclass(frozen=True, eq=False)
class Step:
    """A step of training, as an objective sees it.

    If several processes train together, each of them sees the whole step, and they share the work of `answer`.

    Attributes
    ----------
    network : the network that is trained; ``network(x)``, with several heads ``network(x, task)``, returns logits.
    batches : name of the source -> its `Part`; a single source has the name ``""``.
    number : number of steps taken before this one, since the start of training.
    steps : number of steps in an epoch.
    epoch : number of epochs before this one.
    rng : generator for everything random; it is the same in a resumed run and in every process.
    training : all settings of training.
    """

    network: nn.Module
    batches: Mapping[str, Part]
    number: int
    steps: int
    epoch: int
    rng: np.random.Generator
    training: Training
    heads: bool
    losses: Mapping[str, str]
    weights: Mapping[str, Tensor]
    find_teacher: Callable[[], nn.Module]
    processes: Processes

    @property
    def teacher(self) -> nn.Module:
        """The network with the running average of its weights; its batch statistics are its own. Training needs ``average``."""
        return self.find_teacher()

    def answer(self, part: Part, x: Tensor | None = None, *, network: nn.Module | None = None) -> Tensor:
        """Return the logits (windows, labels) or (windows, frames, labels) for the windows of a part.

        If the targets of the part are for whole windows, and the network pools its frames itself (see `answer_both`), these are the logits
        of whole windows.

        Parameters
        ----------
        part : batch of a source.
        x : windows (windows, frames, dims) to use instead of those of the part.
        network : network to use instead of the one that is trained, such as `teacher`.
        """
        network = network or self.network
        if part.y.ndim == 2 and hasattr(network, "answer_both"):
            return self.answer_both(part, x, network=network)[1]
        return self._answer(part, x, network)

    def answer_both(self, part: Part, x: Tensor | None = None, *, network: nn.Module | None = None) -> tuple[Tensor | None, Tensor]:
        """Return the logits of frames (windows, frames, labels) and of whole windows (windows, labels), from one forward pass.

        A network that pools its frames in its own way has a method with this name, which takes what ``forward`` takes and returns both. For
        any other network with frame-level outputs, the probability of a window is the mean over its frames. For a network that only
        answers whole windows, the logits of frames are ``None``. The parameters are those of `answer`.
        """
        network = network or self.network
        own: Callable[..., tuple[Tensor, Tensor]] | None = getattr(network, "answer_both", None)
        if own is not None:
            both = self._answer(part, x, partial(_side_by_side, own))
            return both[:, 1:], both[:, 0]
        logits = self._answer(part, x, network)
        return (None, logits) if logits.ndim == 2 else (logits, pool_logits(logits, self.losses[part.task]))

    def probabilities(self, logits: Tensor, part: Part) -> Tensor:
        """Return the probabilities of a part's logits; the outputs of a network without activation are returned as they are."""
        loss = self.losses[part.task]
        if loss == "mse of answers":
            return logits
        return logits.softmax(-1) if loss == "cross_entropy" else logits.sigmoid()

    def _answer(self, part: Part, x: Tensor | None, ask: Callable[..., Tensor]) -> Tensor:
        """Ask a network, by itself or by one of its methods."""
        windows, precision = part.x if x is None else x, self.training.precision
        try:
            with torch.autocast(windows.device.type, getattr(torch, precision), enabled=precision != "float32"):
                logits = self.processes.answer((lambda x: ask(x, part.task)) if self.heads else ask, windows)
        except DcasekitError:
            raise
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            raise ModelError(
                f"the network cannot learn from {len(windows)} windows of {tuple(windows.shape[1:])} (frames, dims): {first_line(error)}; "
                "cut windows of one length (sequence_time), of more frames if they are too short, and give more than one"
            ) from error
        return logits.float()

    def loss(self, logits: Tensor, part: Part, y: Tensor | None = None) -> Tensor:
        """Return the mean loss of logits over the known targets; 0 if none is known.

        Parameters
        ----------
        logits : as `answer` returns them.
        part : batch of a source, whose task decides the loss.
        y : targets to use instead of those of the part, of the same shape.
        """
        complete, target = part.complete, part.y if y is None else y
        if logits.ndim == target.ndim == 3:
            target = pool_targets(target, logits.shape[1])
        check_targets(tuple(logits.shape), tuple(target.shape))
        return known_loss(logits, target, self.losses[part.task], complete=complete, weights=self.weights.get(part.task))


def known_loss(logits: Tensor, y: Tensor, loss: str, *, complete: bool, weights: Tensor | None = None) -> Tensor:
    """Compute the mean loss over what is known.

    Parameters
    ----------
    logits, y : (windows, labels) or (windows, frames, labels); NaN in y: unknown. If logits are frame-level and targets are for whole
        windows, the targets are compared with the mean probability over the frames.
    loss : a value of ``loss`` in `Training`, or ``"mse of answers"`` for a network without activation.
    complete : whether y holds no NaN; then it is not searched for.
    weights : weights of the labels (labels,) in the mean; ``None``: all are equal.
    """
    if logits.ndim == y.ndim + 1:
        logits = pool_logits(logits, loss)
    rows = loss == "cross_entropy"
    if rows:
        logits, y = logits.flatten(0, -2), y.flatten(0, -2)
    counted = None if weights is None else weights.expand_as(y)
    if not complete:
        known = ~y.isnan().any(-1) if rows else ~y.isnan()
        logits, y, counted = logits[known], y[known], None if counted is None else counted[known]
        if not len(y):
            return logits.sum()  # of nothing: a zero with a gradient
    if counted is None:
        return _LOSSES[loss](logits, y)
    if rows:
        return _LOSSES[loss](logits, y, weight=weights, reduction="sum") / (y * counted).sum()
    return (_LOSSES[loss](logits, y, reduction="none") * counted).sum() / counted.sum()


def pool_logits(logits: Tensor, loss: str) -> Tensor:
    """Return the logits of the mean answer over frames: (windows, frames, labels) -> (windows, labels)."""
    if loss == "mse of answers":
        return logits.mean(1)
    if loss == "cross_entropy":
        return logits.log_softmax(-1).logsumexp(1)  # of the sum, whose softmax is the mean's
    # log(p / (1 - p)) of a mean p, exact for logits of any size: the number of frames cancels
    return nn.functional.logsigmoid(logits).logsumexp(1) - nn.functional.logsigmoid(-logits).logsumexp(1)


def _side_by_side(answer_both: Callable[..., tuple[Tensor, Tensor]], *asked: Any) -> Tensor:
    """Return the answer for windows as if it were their first frame: one tensor (windows, 1 + frames, labels)."""
    frames, windows = answer_both(*asked)
    return torch.cat([windows[:, None], frames], dim=1)


def pool_targets(y: Tensor, steps: int) -> Tensor:
    """Pool frame targets (windows, frames, labels) to the fewer steps of a network's output.

    Each step gets the largest known value of its frames.
    """
    frames = y.shape[1]
    if steps >= frames or not steps:
        return y
    step_of = (torch.arange(frames, device=y.device) * steps // frames)[None, :, None].expand_as(y)
    lowest = y.new_full((len(y), steps, y.shape[2]), -torch.inf)
    largest = lowest.scatter_reduce(1, step_of, y.nan_to_num(-torch.inf), "amax")
    return largest.masked_fill(largest == -torch.inf, torch.nan)
