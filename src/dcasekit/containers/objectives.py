"""What a step of training minimises: functions of a `Step` that give a loss; for PyTorch networks.

`train(objective=...)` takes the name of one of these, a function of your own, or `functools.partial` of one to change its settings. A
function of your own gets a `Step` and returns a loss, a scalar tensor. For each part in ``step.batches.values()``, ``step.answer(part)``
gives the logits, and ``step.loss(logits, part)`` the mean loss over the known targets; ``step.answer_both(part)`` gives the frame-level
logits and those of whole windows.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, kl_div, mse_loss

from dcasekit.containers._torch_step import Part, Step, pool_targets
from dcasekit.core.units import FloatArray
from dcasekit.errors import ModelError

_LEAST = 1e-6  # probability that a teacher's answer stands for

__all__ = ["Part", "Step", "distillation", "mean_teacher", "mixup", "supervised"]


class Teacher(Protocol):
    """A trained model of any backend."""

    def answer(self, windows: FloatArray) -> FloatArray:
        """Return probabilities for windows (windows, frames, dims)."""


def supervised(step: Step) -> Tensor:
    """Return the loss of the network's answers.

    With several sources of data it is the sum of their losses; the head of each source's task answers the source's own batch.
    """
    losses = [step.loss(step.answer(part), part) for part in step.batches.values()]
    return sum(losses[1:], start=losses[0])


def mixup(step: Step, *, alpha: float = 0.1, first_epoch: int = 0) -> Tensor:
    """Mix the windows of each source's batch at random; the loss is the sum of the losses for both targets, weighted by the same ratio.

    Mix-up (Zhang et al. 2018) as in DcaseNet (Jung et al. 2021): one ratio per batch; windows are mixed after normalisation, and only with
    windows of their own source. For one ratio per window, and mixed targets, see `dcasekit.batch_augmentations.mixup`.

    Parameters
    ----------
    step : the step of training.
    alpha : parameter of the distribution Beta(alpha, alpha) that the ratio is drawn from.
    first_epoch : the first epoch with mixing, counted from 0. DcaseNet starts in epoch 6.
    """
    losses = [_mixed_loss(step, part, alpha if step.epoch >= first_epoch else None) for part in step.batches.values()]
    return sum(losses[1:], start=losses[0])


def _mixed_loss(step: Step, part: Part, alpha: float | None) -> Tensor:
    if alpha is None:
        return step.loss(step.answer(part), part)
    ratio = float(step.rng.beta(alpha, alpha))
    other = torch.from_numpy(step.rng.permutation(len(part.x))).to(part.x.device)
    answer = step.answer(part, ratio * part.x + (1 - ratio) * part.x[other])
    return ratio * step.loss(answer, part) + (1 - ratio) * step.loss(answer, part, part.y[other])


def mean_teacher(  # noqa: PLR0913 - the settings of the published systems
    step: Step,
    *,
    weight: float = 2.0,
    ramp_epochs: float = 50.0,
    noise: float = 0.0,
    mix: float = 0.0,
    alpha: float = 0.2,
    columns: Mapping[str, Sequence[int]] | None = None,
) -> Tensor:
    """Return the loss of the labelled windows, plus how far the answers for all windows are from those of the teacher.

    Mean teacher (Tarvainen and Valpola 2017) as in the DCASE 2023 task 4A baseline. The teacher is the network with the running average
    of its weights, so train with ``average=0.999`` or the like. The second term is the mean squared error between the probabilities of
    network and teacher, for frames and for whole windows, multiplied by ``weight * exp(-5 (1 - t)^2)``.

    Give the sources as a `Together`: strongly labelled clips with frame targets; weakly labelled clips with ``target="clip"``, whose loss
    takes the network's own answer for windows (see `Step.answer_both`); unlabelled clips, which enter the second term only. All sources
    need windows of the same length and the same task.

    Parameters
    ----------
    step : the step of training.
    weight : largest weight of the second term.
    ramp_epochs : number of epochs in which t grows from 0 to 1.
    noise : standard deviation of the Gaussian noise that is added to the teacher's windows.
    mix : probability of mix-up in a step: the windows of each labelled source are mixed with others of that source, and so are their
        targets, all at the same ratio. The baseline has 0.5.
    alpha : parameter of the distribution Beta(alpha, alpha) that this ratio is drawn from.
    columns : source -> numbers of the labels that its data set annotates; its windows enter the second term with these labels only.
        Sources that are not named enter it with all labels. ``None``: all do.
    """
    parts = list(step.batches.values())
    ratio, orders = _draw_mixture(step, mix, alpha)
    windows = torch.cat([_mix(part.x, ratio, order) for part, order in zip(parts, orders, strict=True)])
    both = step.answer_both(parts[0], windows)
    with torch.no_grad():
        seen = windows + noise * torch.randn_like(windows) if noise else windows
        taught = step.answer_both(parts[0], seen, network=step.teacher)
    counted = _counted(step, both[1], columns)
    apart = sum(_apart(step, mine, other, counted) for mine, other in zip(both, taught, strict=True) if mine is not None)
    share = math.exp(-5 * (1 - min(step.number / (ramp_epochs * step.steps), 1)) ** 2)
    loss: Tensor = cast("Tensor", weight * share * apart)
    sizes = [len(part.x) for part in parts]
    frames = both[1].split(sizes) if both[0] is None else both[0].split(sizes)
    for part, order, of_frames, of_windows in zip(parts, orders, frames, both[1].split(sizes), strict=True):
        answer = of_windows if part.y.ndim == 2 else of_frames
        target = part.y if answer.ndim == 2 else pool_targets(part.y, answer.shape[1])
        loss = loss + step.loss(answer, part, _mix(target, ratio, order))
    return loss


def _draw_mixture(step: Step, mix: float, alpha: float) -> tuple[float, list[Tensor | None]]:
    """Draw a ratio, and for each part what its windows are mixed with; ``None``: they are not."""
    if not mix or step.rng.random() >= mix:
        return 1.0, [None] * len(step.batches)
    ratio = float(step.rng.beta(alpha, alpha))
    orders = [torch.from_numpy(step.rng.permutation(len(part.x))).to(part.x.device) for part in step.batches.values()]
    return ratio, [order if part.known else None for order, part in zip(orders, step.batches.values(), strict=True)]


def _mix(rows: Tensor, ratio: float, order: Tensor | None) -> Tensor:
    return rows if order is None else ratio * rows + (1 - ratio) * rows[order]


def _counted(step: Step, answers: Tensor, columns: Mapping[str, Sequence[int]] | None) -> Tensor | None:
    """Tell which labels of which windows have to agree, (windows, labels), 1 or 0; ``None``: all."""
    if columns is None:
        return None
    counted, first = torch.zeros_like(answers), 0
    for name, part in step.batches.items():
        last = first + len(part.x)
        counted[first:last, list(columns.get(name, range(answers.shape[1])))] = 1
        first = last
    return counted


def _apart(step: Step, logits: Tensor, taught: Tensor | None, counted: Tensor | None) -> Tensor:
    """Return the mean squared distance of two networks' answers, over what counts."""
    part = next(iter(step.batches.values()))
    mine, other = (step.probabilities(each, part) for each in (logits, cast("Tensor", taught)))
    if counted is None:
        return mse_loss(mine, other)
    weights = (counted if mine.ndim == 2 else counted[:, None]).expand_as(mine)
    return ((mine - other).square() * weights).sum() / weights.sum()


def distillation(step: Step, *, teacher: Teacher, weight: float = 0.5, temperature: float = 2.0) -> Tensor:
    """Return the weighted mean of two losses: to the targets, and to a trained model's answers for the same windows (Hinton et al. 2015).

    Parameters
    ----------
    step : the step of training.
    teacher : a trained model of any backend that takes the same windows and has the same labels; its output must have the network's shape.
    weight : weight of the loss to the teacher's answers, from 0 to 1; the targets have the rest.
    temperature : the logits of both are divided by it, which makes softer probabilities. The teacher's loss is multiplied by its square,
        as published.

    Raises
    ------
    ModelError : the teacher has no network, or its output has another shape.
    """
    losses = []
    for part in step.batches.values():
        logits = step.answer(part)
        losses.append((1 - weight) * step.loss(logits, part) + weight * _distance(logits, part, teacher, temperature))
    return sum(losses[1:], start=losses[0])


def _distance(logits: Tensor, part: Part, teacher: Teacher, temperature: float) -> Tensor:
    taught = _logits_of(teacher, part)
    if taught.shape != logits.shape:
        raise ModelError(
            f"the teacher's output has the shape {tuple(taught.shape)}, the network's {tuple(logits.shape)}; they must be the same"
        )
    if part.task == "classification":
        rows, wanted = (logits / temperature).log_softmax(-1).flatten(0, -2), (taught / temperature).softmax(-1).flatten(0, -2)
        return kl_div(rows, wanted, reduction="batchmean") * temperature**2
    return binary_cross_entropy_with_logits(logits / temperature, (taught / temperature).sigmoid()) * temperature**2


def _logits_of(teacher: Teacher, part: Part) -> Tensor:
    """Let a teacher answer windows as logits: its network's own, else those of its probabilities."""
    network = getattr(teacher, "network", part)
    if network is None:
        raise ModelError("the teacher has no network yet; train or load it first")
    with torch.no_grad():
        if isinstance(network, nn.Module):
            found: Tensor = network.to(part.x.device).eval()(part.x).float()
            return found
        answers = torch.from_numpy(teacher.answer(part.x.cpu().numpy())).to(part.x.device, torch.float32).clamp(_LEAST, 1 - _LEAST)
    return answers.log() if part.task == "classification" else answers.logit()
