"""What a step of training minimises: functions of a `Step` that give a loss; for PyTorch networks.

`train(objective=...)` takes the name of one of these, a function, or `functools.partial` of one for other settings than its defaults. One
of your own gets a `Step`: ``step.answer(part)`` gives logits, ``step.loss(logits, part)`` the loss over what is known, for each of
``step.batches``.
"""

import math
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, kl_div, mse_loss

from dcasekit.containers._torch_step import Part, Step
from dcasekit.errors import ModelError

__all__ = ["Part", "Step", "distillation", "mean_teacher", "mixup", "supervised"]


class Teacher(Protocol):
    """A model with a PyTorch network."""

    network: nn.Module | None


def supervised(step: Step) -> Tensor:
    """Give the loss of the network's answers; of several sources the sum, each part answered by itself and by the head of its task."""
    losses = [step.loss(step.answer(part), part) for part in step.batches.values()]
    return sum(losses[1:], start=losses[0])


def mixup(step: Step, *, alpha: float = 0.1, first_epoch: int = 0) -> Tensor:
    """Mix the windows of each part with one ratio per batch; the loss is that of both targets, in the same ratio.

    Zhang et al. 2018 as DcaseNet does it (Jung et al. 2021): inputs are mixed after normalisation, each source by itself. For a ratio per
    window, and mixed targets, see `dcasekit.batch_augmentations.mixup`.

    Parameters
    ----------
    alpha : the ratio is drawn from Beta(alpha, alpha).
    first_epoch : counted from 0; before it nothing is mixed. DcaseNet's is 6.
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


def mean_teacher(step: Step, *, weight: float = 2.0, ramp_epochs: float = 50.0, noise: float = 0.0) -> Tensor:
    """Give the loss where something is known, and how far the answers for all windows are from the averaged network's.

    Tarvainen and Valpola 2017, as in the DCASE 2023 task 4A baseline: one pass of the windows of all parts; the squared error of the
    answers, and of their mean over frames, to those of ``step.teacher``, weighted by ``weight * exp(-5 (1 - t)^2)``. Strong clips are a
    part with frame targets, weak ones a part with ``target="clip"``; a part of which nothing is known only has to agree. It asks for
    ``train(average=0.999)``. All parts have windows of one length and one task.

    Parameters
    ----------
    weight : of the agreement, once it counts whole.
    ramp_epochs : t grows from 0 to 1 in them.
    noise : standard deviation of what is added to the teacher's windows.
    """
    parts = list(step.batches.values())
    windows = torch.cat([part.x for part in parts])
    logits = step.answer(parts[0], windows)
    with torch.no_grad():
        seen = windows + noise * torch.randn_like(windows) if noise else windows
        taught = step.answer(parts[0], seen, network=step.teacher).sigmoid()
    answers = logits.sigmoid()
    apart = mse_loss(answers, taught)
    if answers.ndim == 3:
        apart = apart + mse_loss(answers.mean(1), taught.mean(1))
    share = math.exp(-5 * (1 - min(step.number / (ramp_epochs * step.steps), 1)) ** 2)
    own = logits.split([len(part.x) for part in parts])
    return sum((step.loss(answer, part) for answer, part in zip(own, parts, strict=True)), start=weight * share * apart)


def distillation(step: Step, *, teacher: Teacher, weight: float = 0.5, temperature: float = 2.0) -> Tensor:
    """Give the loss of the targets and that of a trained model's answers, for the same windows, mixed (Hinton et al. 2015).

    Parameters
    ----------
    teacher : a trained model that takes the same windows and answers the same labels, windows or frames.
    weight : of the teacher's part, from 0 to 1.
    temperature : logits are divided by it, for softer answers; the teacher's part is multiplied by its square, as published.
    """
    losses = []
    for part in step.batches.values():
        logits = step.answer(part)
        losses.append((1 - weight) * step.loss(logits, part) + weight * _distance(logits, part, teacher, temperature))
    return sum(losses[1:], start=losses[0])


def _distance(logits: Tensor, part: Part, teacher: Teacher, temperature: float) -> Tensor:
    if teacher.network is None:
        raise ModelError("the teacher has no network yet; train or load it first")
    with torch.no_grad():
        taught = teacher.network.to(part.x.device).eval()(part.x).float()
    if taught.shape != logits.shape:
        raise ModelError(f"the teacher answers {tuple(taught.shape)}, the network {tuple(logits.shape)}; they must be the same")
    if part.task == "classification":
        rows, wanted = (logits / temperature).log_softmax(-1).flatten(0, -2), (taught / temperature).softmax(-1).flatten(0, -2)
        return kl_div(rows, wanted, reduction="batchmean") * temperature**2
    return binary_cross_entropy_with_logits(logits / temperature, (taught / temperature).sigmoid()) * temperature**2
