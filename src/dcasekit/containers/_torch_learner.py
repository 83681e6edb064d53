"""A PyTorch network while it learns: losses, optimizer, schedule, the running average of its weights."""

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dcasekit.containers._backend import Weights
from dcasekit.containers._checkpoint import State
from dcasekit.containers._epochs import Learner, LearningBatch, check_targets, learning_batches, pool_targets
from dcasekit.containers._torch_seed import seeded
from dcasekit.containers.training import Training
from dcasekit.errors import DcasekitError, ModelError, first_line
from dcasekit.generator import Data

_Loss = Callable[[Tensor, Tensor], Tensor]

_LOSSES: Mapping[str, _Loss] = {
    "cross_entropy": nn.functional.cross_entropy,
    "binary_cross_entropy": nn.functional.binary_cross_entropy_with_logits,
    "mse": lambda logits, y: nn.functional.mse_loss(logits.sigmoid(), y),
    "mse of answers": nn.functional.mse_loss,
}


def known_loss(logits: Tensor, y: Tensor, loss: str, *, complete: bool) -> Tensor:
    """Compute the mean loss over what is known.

    Parameters
    ----------
    logits, y : (windows, labels) or (windows, frames, labels); NaN in y: unknown. Of a network that answers frames, targets of whole
        windows are those of the mean of its answers.
    loss : a name of `Training.loss`, or ``"mse of answers"`` of a network that gives no logits.
    complete : whether y holds no NaN, which is then not looked for.
    """
    if logits.ndim == y.ndim + 1:
        logits = _pooled(logits, loss)
    if loss == "cross_entropy":
        logits, y = logits.flatten(0, -2), y.flatten(0, -2)
    if not complete:
        known = ~y.isnan().any(-1) if loss == "cross_entropy" else ~y.isnan()
        logits, y = logits[known], y[known]
        if not len(y):
            return logits.sum()  # of nothing: a zero with a gradient
    return _LOSSES[loss](logits, y)


def _pooled(logits: Tensor, loss: str) -> Tensor:
    """Give the logits of the mean answer over frames: (windows, frames, labels) -> (windows, labels)."""
    if loss == "mse of answers":
        return logits.mean(1)
    if loss == "cross_entropy":
        return logits.log_softmax(-1).logsumexp(1)  # of the sum, whose softmax is the mean's
    return logits.sigmoid().mean(1).logit(eps=1e-6)


class TorchLearner(Learner):
    """All that changes while a network is trained.

    Parameters
    ----------
    network : trained in place, where it is.
    data, training : what it learns, and how.
    loss : see `known_loss`.
    steps : batches per epoch.
    """

    def __init__(self, network: nn.Module, data: Data, training: Training, *, loss: str, steps: int) -> None:
        self.network, self.data, self.training, self.loss, self.steps = network, data, training, loss, steps
        self.optimizer = _optimizer(network, training)
        self.device = next(network.parameters()).device
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=training.precision == "float16")
        self.done = 0
        self.average = copy.deepcopy(network.state_dict()) if training.average else {}

    def learning_rate(self, epoch: int, step: int = 0) -> float:
        """Learning rate at a step of an epoch."""
        progress = (epoch * self.steps + step) / (self.training.epochs * self.steps)
        factor = 1.0
        if self.training.schedule == "cosine":
            factor = (1 + math.cos(math.pi * progress)) / 2
        elif self.training.schedule == "one_cycle":
            rise = 0.1
            factor = progress / rise if progress < rise else (1 + math.cos(math.pi * (progress - rise) / (1 - rise))) / 2
        return self.training.learning_rate * factor

    def learn(self, epoch: int) -> float:
        """Take a step for every batch; give back the mean loss over all known targets."""
        self.network.train()
        total, count = torch.zeros((), device=self.device), 0
        # Masks of dropout follow from seed and epoch, so that a resumed run draws those that an undisturbed one does.
        with seeded(hash((self.training.seed, epoch)) % 2**31):
            for batch in learning_batches(self.data, epoch, self.training, rows=self.loss == "cross_entropy"):
                loss = self._loss(batch)
                self._step(loss)
                # The sum stays on the device: asking for each loss would make the device wait for us.
                total, count = total + loss.detach() * batch.known, count + batch.known
        return float(total) / count

    def _loss(self, batch: LearningBatch) -> Tensor:
        windows = torch.from_numpy(batch.x).to(self.device)
        with torch.autocast(self.device.type, getattr(torch, self.training.precision), enabled=self.training.precision != "float32"):
            logits = self._answer(windows)
        y = pool_targets(batch.y, logits.shape[1]) if logits.ndim == batch.y.ndim == 3 else batch.y
        check_targets(logits.shape, y.shape)
        target = torch.from_numpy(y).to(self.device)
        loss = known_loss(logits.float(), target, self.loss, complete=not np.isnan(batch.y).any())
        penalty: Callable[[], Tensor] | None = getattr(self.network, "penalty", None)
        return loss if penalty is None else loss + penalty()

    def _answer(self, windows: Tensor) -> Tensor:
        try:
            logits: Tensor = self.network(windows)
        except DcasekitError:
            raise
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            raise ModelError(
                f"the network cannot learn from {len(windows)} windows of {tuple(windows.shape[1:])} (frames, dims): {first_line(error)}; "
                "cut windows of one length (sequence_time), of more frames if they are too short, and give more than one"
            ) from error
        return logits

    def _step(self, loss: Tensor) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(self.done // self.steps, self.done % self.steps)
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.done += 1
        # The average begins as the plain mean, so that its start weighs nothing after a few steps.
        decay = min(self.training.average, self.done / (self.done + 9))
        for name, tensor in self.network.state_dict().items() if self.average else ():
            kept = self.average[name]
            if tensor.is_floating_point():
                kept.lerp_(tensor, 1 - decay)
            else:
                kept.copy_(tensor)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Put the averaged weights into the network for a while."""
        if not self.average:
            yield
            return
        own = copy.deepcopy(self.network.state_dict())
        self.network.load_state_dict(self.average)
        try:
            yield
        finally:
            self.network.load_state_dict(own)

    def weights(self) -> Weights:
        """Give a copy of the network's weights."""
        return _arrays(self.network.state_dict())

    def set_weights(self, weights: Weights) -> None:
        """Put weights into the network."""
        self.network.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})

    def state(self) -> State:
        """Give weights, average, and the state of the optimizer."""
        rows = self.optimizer.state_dict()["state"]
        moments = {f"{index}.{key}": torch.as_tensor(value) for index, row in rows.items() for key, value in row.items()}
        parts = {"network": self.network.state_dict(), "average": self.average, "optimizer": moments}
        arrays = {f"{part}.{name}": array for part, tensors in parts.items() for name, array in _arrays(tensors).items()}
        return State({"done": self.done, "scaler": self.scaler.state_dict()}, arrays)

    def set_state(self, state: State) -> None:
        """Put back what `state` gave."""
        network, average, moments = (
            {name: torch.from_numpy(array).to(self.device) for name, array in state.group(part).items()}
            for part in ("network", "average", "optimizer")
        )
        self.network.load_state_dict(network)
        self.average, self.done = average, int(state.values["done"])
        self.scaler.load_state_dict(state.values["scaler"])
        rows: dict[int, dict[str, Any]] = {}
        trained = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        for name, tensor in moments.items():
            index, _, key = name.partition(".")
            like = trained[int(index)]
            # In memory as the weights are, channels last: a fused optimizer goes through both side by side.
            rows.setdefault(int(index), {})[key] = torch.empty_like(like).copy_(tensor) if tensor.shape == like.shape else tensor.cpu()
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": rows})


def _arrays(tensors: Mapping[str, Tensor]) -> Weights:
    return {name: tensor.detach().cpu().contiguous().clone().numpy() for name, tensor in tensors.items()}


def _optimizer(network: nn.Module, training: Training) -> torch.optim.Optimizer:
    # Kernels decay; biases, and the scales of normalisation layers, do not.
    groups = [
        {"params": [p for p in network.parameters() if p.ndim > 1], "weight_decay": training.weight_decay},
        {"params": [p for p in network.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    fused = next(network.parameters()).device.type in ("cpu", "cuda")  # one pass over all weights
    settings: dict[str, Any] = {"lr": training.learning_rate, "fused": fused}
    if training.optimizer == "sgd":
        return torch.optim.SGD(groups, momentum=0.9, nesterov=True, **settings)
    kind = torch.optim.AdamW if training.optimizer == "adamw" else torch.optim.Adam
    return kind(groups, **settings)
