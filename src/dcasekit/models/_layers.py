"""What several networks share: Keras' initial weights and batch normalisation, with which the published systems were trained."""

from torch import Tensor, nn

from dcasekit.datasets.base import Task


def keras_start(network: nn.Module) -> nn.Module:
    """Draw all kernels as Keras does (Glorot uniform), all biases zero."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Conv1d | nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """Batch normalisation with Keras' constants: epsilon 1e-3, and 0.99 of the old running mean kept."""
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


def l2(*tensors: Tensor | None) -> Tensor | float:
    """Sum of squares, Keras' L2 regulariser with factor 1."""
    return sum((tensor.square().sum() for tensor in tensors if tensor is not None), start=0.0)


def mean_answer(logits: Tensor, task: Task) -> Tensor:
    """Average answers, not logits, over frames: (windows, frames, labels) -> (windows, labels), the logit of the mean probability.

    Exact for logits of any size: log(p / (1 - p)) of a mean p is the difference of two log-sums, in which the number of frames cancels.
    """
    if task == "classification":
        return logits.log_softmax(-1).logsumexp(1)  # its softmax is the mean of the softmaxes
    return nn.functional.logsigmoid(logits).logsumexp(1) - nn.functional.logsigmoid(-logits).logsumexp(1)
