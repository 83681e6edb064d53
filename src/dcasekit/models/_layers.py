"""What several networks share: Keras' initial weights and batch normalisation, with which the published systems were trained; pooling."""

from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from dcasekit.datasets.base import Task
from dcasekit.errors import ModelError

# How answers of frames become that of their window.
Pooling: TypeAlias = Literal["mean", "max", "autopool"]
PoolingOfLogits: TypeAlias = Literal["logits", "mean", "max", "autopool"]


def keras_start(network: nn.Module) -> nn.Module:
    """Initialise all kernels as Keras does (Glorot uniform) and all biases with zero; return the network."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Conv1d | nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network


def divisible(channels: float) -> int:
    """Round a number of channels to a multiple of 8, at least 8 and never down by more than a tenth, as MobileNets do."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """Make batch normalisation with Keras' constants: epsilon 1e-3, momentum 0.99 (PyTorch's 0.01)."""
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


def l2(*tensors: Tensor | None) -> Tensor | float:
    """Return the sum of squares of all tensors, Keras' L2 regulariser with factor 1."""
    return sum((tensor.square().sum() for tensor in tensors if tensor is not None), start=0.0)


def mean_answer(logits: Tensor, task: Task) -> Tensor:
    """Average probabilities, not logits, over frames: logits (windows, frames, labels) -> (windows, labels), those of the means.

    Exact for logits of any size: log(p / (1 - p)) of a mean p is the difference of two log-sums, in which the number of frames cancels.
    """
    if task == "classification":
        return logits.log_softmax(-1).logsumexp(1)  # its softmax is the mean of the softmaxes
    return nn.functional.logsigmoid(logits).logsumexp(1) - nn.functional.logsigmoid(-logits).logsumexp(1)


class AutoPool(nn.Module):
    """Pool frame-level probabilities: a mean whose weights are the softmax over time of alpha times the probability, one alpha per label.

    With alpha 0 it is the mean, with 1 softmax pooling, and it nears the maximum as alpha grows; below 0 it nears the minimum. B. McFee,
    J. Salamon, J. P. Bello, "Adaptive Pooling Operators for Weakly Labeled Sound Event Detection", IEEE/ACM Transactions on Audio, Speech,
    and Language Processing 26(11), 2018.

    Parameters
    ----------
    outputs : number of labels.
    task : what the logits mean.
    bound : largest absolute value of alpha, so that no label can rely on a single frame; ``None``: unbounded.
    """

    def __init__(self, outputs: int, task: Task, *, bound: float | None = None) -> None:
        super().__init__()
        self.task: Task = task
        self.bound, self.alpha = bound, nn.Parameter(torch.ones(outputs))

    def forward(self, logits: Tensor) -> Tensor:
        """(windows, frames, labels) -> (windows, labels), the logit of the pooled answer."""
        alpha = self.alpha if self.bound is None else self.alpha.clamp(-self.bound, self.bound)
        if self.task == "classification":
            answers = logits.log_softmax(-1)
            return ((alpha * answers.exp()).log_softmax(1) + answers).logsumexp(1)
        weights = (alpha * logits.sigmoid()).log_softmax(1)
        yes, no = (weights + nn.functional.logsigmoid(each) for each in (logits, -logits))
        return yes.logsumexp(1) - no.logsumexp(1)


class Pool(nn.Module):
    """Pool frame-level logits (windows, frames, labels) -> (windows, labels) as a model's setting ``pooling`` says.

    ``"logits"`` is the mean of the logits, before the activation.
    """

    def __init__(self, pooling: PoolingOfLogits, outputs: int, task: Task) -> None:
        super().__init__()
        if pooling not in ("logits", "mean", "max", "autopool"):
            raise ModelError(f"pooling must be 'mean', 'max' or 'autopool'; got {pooling!r}")
        self.pooling, self.task = pooling, task
        self.auto = AutoPool(outputs, task) if pooling == "autopool" else None

    def forward(self, logits: Tensor) -> Tensor:
        if self.auto is not None:
            pooled: Tensor = self.auto(logits)
            return pooled
        if self.pooling == "logits":
            return logits.mean(1)
        if self.pooling == "mean":
            return mean_answer(logits, self.task)
        return (logits.log_softmax(-1) if self.task == "classification" else logits).amax(1)
