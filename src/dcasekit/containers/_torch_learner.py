"""A PyTorch network while it learns: optimizer, learning rate, the running average of its weights."""

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from dcasekit.containers import objectives
from dcasekit.containers._backend import Record, Weights
from dcasekit.containers._checkpoint import State
from dcasekit.containers._epochs import Learner, learning_steps
from dcasekit.containers._torch_distributed import Processes
from dcasekit.containers._torch_seed import seeded
from dcasekit.containers._torch_step import Part, Step
from dcasekit.containers._torch_waveforms import Fronts
from dcasekit.containers.schedules import Moment
from dcasekit.containers.training import Training
from dcasekit.errors import ModelError
from dcasekit.generator import Data, Together, steps_of

Value = TypeVar("Value")


class TorchLearner(Learner):
    """All that changes while a network is trained; of several processes, each holds it and they stay the same, see `Processes`.

    Parameters
    ----------
    network : trained in place, where it is.
    data, training : what it learns, and how.
    losses : task -> loss of its head, see `known_loss`.
    heads : whether the network is asked for a task.
    """

    def __init__(
        self, network: nn.Module, data: Data | Together, training: Training, *, losses: Mapping[str, str], heads: bool = False
    ) -> None:
        self.network, self.data, self.training, self.losses, self.heads = network, data, training, losses, heads
        self.steps = steps_of(data, training.batch_size, drop_last=training.drop_last)
        self.optimizer = _optimizer(network, training)
        self.device = next(network.parameters()).device
        self._rows = [task for task, loss in losses.items() if loss == "cross_entropy"]
        self.fronts = Fronts(data, training, self.device, self._rows)
        self.processes = Processes.join(self.device)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=training.precision == "float16")
        self.weights_of_labels = _weigh_labels(data, training, self.device)
        self.history: list[Record] = []
        self.done = 0
        self.average = copy.deepcopy(network.state_dict()) if training.average else {}
        self._teacher: nn.Module | None = None

    def once(self, function: Callable[[], Value]) -> Value:
        """Have the first process alone call a function; return its answer in every process."""
        return self.processes.once(function)

    def learning_rate(self, epoch: int, step: int = 0) -> float:
        """Learning rate at a step of an epoch."""
        return self.training.rate(Moment(epoch * self.steps + step, self.steps, self.training.epochs, self.history))

    def learn(self, epoch: int) -> float:
        """Take a step for every batch; return the mean loss over all known targets, of an objective of one's own over all steps."""
        self.network.train()
        self.fronts.start(epoch)
        objective, rng = _find_objective(self.training.objective), np.random.default_rng((self.training.seed, epoch, 2))
        total, count = torch.zeros((), device=self.device), 0
        # Masks of dropout follow from seed and epoch, so that a resumed run draws those that an undisturbed one does.
        with seeded(hash((self.training.seed, epoch)) % 2**31):
            for batches in learning_steps(self.data, epoch, self.training, rows=self._rows):
                parts = self.fronts.parts(batches)
                loss = objective(self._step_of(parts, epoch, rng))
                penalty: Callable[[], Tensor] | None = getattr(self.network, "penalty", None)
                loss = loss if penalty is None else loss + penalty()
                self._step(loss)
                weight = 1 if self.training.objective or isinstance(self.data, Together) else parts[""].known
                # The sum stays on the device: asking for each loss would make the device wait for us.
                total, count = total + loss.detach() * weight, count + weight
        return float(total) / count

    def _step_of(self, parts: Mapping[str, Part], epoch: int, rng: np.random.Generator) -> Step:
        return Step(
            self.network, parts, self.done, self.steps, epoch, rng, self.training,
            heads=self.heads, losses=self.losses, weights=self.weights_of_labels, find_teacher=self._find_teacher,
            processes=self.processes,
        )  # fmt: skip

    def _find_teacher(self) -> nn.Module:
        """Return a network whose weights are the average; its buffers, such as batch statistics, are its own from now on."""
        if self._teacher is None:
            if not self.average:
                raise ModelError("this objective uses step.teacher: train with average=, e.g. 0.999")
            self._teach({name: self.average[name] for name, _ in self.network.named_parameters()})
        return cast("nn.Module", self._teacher).train(self.network.training)

    def _teach(self, weights: Mapping[str, Tensor]) -> None:
        """Make the teacher, a copy of the network with these weights."""
        self._teacher = copy.deepcopy(self.network).requires_grad_(False)
        self._teacher.load_state_dict(weights, strict=False)
        self.average = self._teacher.state_dict()  # the same memory: what is averaged is what teaches

    def _step(self, loss: Tensor) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(self.done // self.steps, self.done % self.steps) * group.get("factor", 1.0)
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.processes.average_gradients(self.network.parameters())
        if self.training.clip_norm is not None:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.network.parameters(), self.training.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.done += 1
        # The average begins as the plain mean, so that its start weighs nothing after a few steps.
        rule = self.training.average
        decay = rule(self.done) if callable(rule) else min(rule, self.done / (self.done + 9))
        own = set() if self._teacher is None else {name for name, _ in self._teacher.named_buffers()}
        for name, tensor in self.network.state_dict().items() if self.average else ():
            kept = self.average[name]
            if name in own:
                continue
            if tensor.is_floating_point():
                kept.lerp_(tensor, 1 - decay)
            else:
                kept.copy_(tensor)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Put the averaged weights into the network for a while, if they are what is kept."""
        if not self.average or self.training.keep == "network":
            yield
            return
        own = copy.deepcopy(self.network.state_dict())
        self.network.load_state_dict(self.average)
        try:
            yield
        finally:
            self.network.load_state_dict(own)

    def weights(self) -> Weights:
        """Return a copy of the network's weights."""
        return _arrays(self.network.state_dict())

    def set_weights(self, weights: Weights) -> None:
        """Put weights into the network."""
        self.network.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})

    def state(self) -> State:
        """Return weights, average, and the state of the optimizer."""
        rows = self.optimizer.state_dict()["state"]
        moments = {
            f"{index}.{key}": torch.as_tensor(value) for index, row in rows.items() for key, value in row.items() if value is not None
        }
        parts = {"network": self.network.state_dict(), "average": self.average, "optimizer": moments}
        arrays = {f"{part}.{name}": array for part, tensors in parts.items() for name, array in _arrays(tensors).items()}
        values = {"done": self.done, "scaler": self.scaler.state_dict(), "teacher": self._teacher is not None}
        return State(values, arrays)

    def set_state(self, state: State) -> None:
        """Put back what `state` gave."""
        network, average, moments = (
            {name: torch.from_numpy(array).to(self.device) for name, array in state.group(part).items()}
            for part in ("network", "average", "optimizer")
        )
        self.network.load_state_dict(network)
        self.average, self.done = average, int(state.values["done"])
        self.scaler.load_state_dict(state.values["scaler"])
        if state.values["teacher"]:
            self._teach(average)
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


def _find_objective(objective: Any) -> Callable[[Step], Tensor]:
    found: Callable[[Step], Tensor] = objective if callable(objective) else getattr(objectives, objective or "supervised")
    return found


def _weigh_labels(data: Data | Together, training: Training, device: torch.device) -> dict[str, Tensor]:
    """Return the weights of each task's labels (labels,), as far as there are any."""
    if training.class_weights is None:
        return {}
    if training.class_weights != "balanced":
        known = {label for source in _sources(data).values() for label in source.labels}
        if unknown := [label for label in training.class_weights if label not in known]:
            raise ModelError(f"class_weights names unknown labels: {', '.join(unknown)}; the labels are {', '.join(sorted(known))}")
    found = {}
    for task, source in _sources(data).items():
        if training.class_weights == "balanced":
            counts = np.nansum(source.reference()["truth"], axis=0)
            weights = np.where(counts > 0, counts.sum() / (len(counts) * np.maximum(counts, 1e-9)), 1.0)
        else:
            weights = np.array([training.class_weights.get(label, 1.0) for label in source.labels])
        found[task] = torch.tensor(weights, dtype=torch.float32, device=device)
    return found


def _sources(data: Data | Together) -> dict[str, Data]:
    return {task: source for task, source in data.heads.items()} if isinstance(data, Together) else {data.task: data}  # noqa: C416


def _optimizer(network: nn.Module, training: Training) -> torch.optim.Optimizer:
    rates, named = training.rates or {}, dict(network.named_parameters())
    if unknown := [start for start in rates if not any(name.startswith(start) for name in named)]:
        raise ModelError(f"rates: no weight's name begins with {unknown[0]!r}; their names are {', '.join(named)}")
    factors = {name: next((factor for start, factor in rates.items() if name.startswith(start)), 1.0) for name in named}
    # Kernels decay; biases, and the scales of normalisation layers, do not.
    groups = [
        {"params": [p for name, p in named.items() if factors[name] == factor and (p.ndim > 1) == kernels], "factor": factor}
        | {"weight_decay": training.weight_decay if kernels else 0.0}
        for factor in dict.fromkeys((1.0, *rates.values()))
        for kernels in (True, False)
    ]
    fused = next(network.parameters()).device.type in ("cpu", "cuda")  # one pass over all weights
    settings: dict[str, Any] = {"lr": training.learning_rate, "fused": fused}
    if callable(training.optimizer):
        made: torch.optim.Optimizer = training.optimizer(groups, lr=training.learning_rate)
        return made
    if training.optimizer == "sgd":
        return torch.optim.SGD(groups, momentum=training.momentum, nesterov=training.momentum > 0, **settings)
    kind = torch.optim.AdamW if training.optimizer == "adamw" else torch.optim.Adam
    return kind(groups, **settings)
