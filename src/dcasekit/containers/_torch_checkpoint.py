"""The state of a training run in PyTorch: optimizer, schedule, average and best weights; saved after each epoch without pickle."""

import copy
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from dcasekit.containers._checkpoint import State, checkpoint_path, load_checkpoint, save_checkpoint
from dcasekit.containers.training import Training
from dcasekit.errors import ModelError

Record = dict[str, float]


class Checkpoint:
    """All that changes while a network is trained.

    Parameters
    ----------
    network : trained in place.
    training : the settings.
    steps : batches per epoch.
    run : what else decides the result, model and data, as JSON values; a checkpoint of another run is refused.
    """

    def __init__(self, network: nn.Module, training: Training, *, steps: int, run: Mapping[str, Any]) -> None:
        self.network, self.training, self.steps = network, training, steps
        self.run: dict[str, Any] = json.loads(json.dumps({**training.to_dict(), **run}))
        self.optimizer = _optimizer(network, training)
        device = next(network.parameters()).device.type
        self.scaler = torch.amp.GradScaler(device, enabled=training.precision == "float16")
        self.done = 0
        self.average = copy.deepcopy(network.state_dict()) if training.average else {}
        self.best: dict[str, Tensor] = {}
        self.best_epoch = 0  # counted from 1; 0: none yet

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

    def step(self, loss: Tensor) -> None:
        """Take one optimizer step."""
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

    def keep_best(self, history: list[Record]) -> None:
        """Keep the network's weights if this epoch is the best on validation data, or if there is none to choose with."""
        now = len(history)
        if self.training.better(history[-1], history[self.best_epoch - 1] if self.best_epoch else None):
            self.best, self.best_epoch = copy.deepcopy(self.network.state_dict()), now

    def stopped(self, history: list[Record]) -> bool:
        """Whether early stopping ends the run here."""
        patience = self.training.early_stopping
        return bool(history) and patience is not None and len(history) - self.best_epoch >= patience

    def load_best(self) -> None:
        """Put the kept weights into the network."""
        if self.best:
            self.network.load_state_dict(self.best)

    def save(self, history: list[Record]) -> None:
        """Write everything to one file, atomically, if a folder to resume from is set."""
        if self.training.resume is None:
            return
        tensors = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        tensors |= {f"average.{name}": tensor for name, tensor in self.average.items()}
        tensors |= {f"best.{name}": tensor for name, tensor in self.best.items()}
        state = self.optimizer.state_dict()["state"]
        tensors |= {f"optimizer.{index}.{key}": torch.as_tensor(value) for index, row in state.items() for key, value in row.items()}
        values = {"history": history, "best_epoch": self.best_epoch, "done": self.done, "scaler": self.scaler.state_dict()}
        arrays = {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
        save_checkpoint(self.training.resume, self.run, State(values, arrays))

    def restore(self) -> list[Record]:
        """Take up the run saved in the folder, if there is one; give back its history."""
        if self.training.resume is None or (state := load_checkpoint(self.training.resume, self.run)) is None:
            return []
        try:
            self._take(state)
        except (LookupError, TypeError, ValueError, RuntimeError) as error:
            path = checkpoint_path(self.training.resume)
            raise ModelError(f"{path} does not fit this network ({error}); delete it to train from the start") from error
        return list(state.values["history"])

    def _take(self, state: State) -> None:
        device = next(self.network.parameters()).device
        self.network.load_state_dict(_tensors(state, "network"))
        self.average = {name: tensor.to(device) for name, tensor in _tensors(state, "average").items()}
        self.best = _tensors(state, "best")
        self.best_epoch, self.done = state.values["best_epoch"], state.values["done"]
        self.scaler.load_state_dict(state.values["scaler"])
        rows: dict[int, dict[str, Any]] = {}
        trained = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        for name, tensor in _tensors(state, "optimizer").items():
            index, _, key = name.partition(".")
            like = trained[int(index)]
            # In memory as the weights are, channels last: a fused optimizer goes through both side by side.
            rows.setdefault(int(index), {})[key] = torch.empty_like(like).copy_(tensor) if tensor.shape == like.shape else tensor
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": rows})


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


def _tensors(state: State, group: str) -> dict[str, Tensor]:
    return {name: torch.from_numpy(array) for name, array in state.group(group).items()}
