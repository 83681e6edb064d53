"""A Keras network while it learns: losses, optimizer, schedule."""

from collections.abc import Callable, Mapping
from typing import Any

from dcasekit.containers._backend import Record, Weights
from dcasekit.containers._checkpoint import State
from dcasekit.containers._epochs import Learner, LearningBatch, check_targets, learning_batches, pool_targets
from dcasekit.containers._keras_layers import arrays_of, set_state, state_of, variables_of, warm_start_batch_norm
from dcasekit.containers._keras_state import keras, seeded
from dcasekit.containers.schedules import Moment
from dcasekit.containers.training import Training
from dcasekit.core.units import FloatArray
from dcasekit.errors import DcasekitError, ModelError, first_line
from dcasekit.generator import Data, steps_of


def _pool_sigmoid(logits: Any) -> Any:
    """Return the logits of the mean answer over frames."""
    mean = keras.ops.clip(keras.ops.mean(keras.ops.sigmoid(logits), axis=1), 1e-6, 1 - 1e-6)
    return keras.ops.log(mean) - keras.ops.log(1 - mean)


def _mean_known(
    distance: Callable[[Any, Any], Any], *, rows: bool = False, pool: Callable[[Any], Any] = _pool_sigmoid
) -> Callable[[Any, Any], Any]:
    """Make a loss of a distance (targets, logits) -> (..., labels): its mean where the target is known, which is not NaN.

    With `rows`, distances are (...,) and count where all labels of a row are known; `pool` gives the logits of the mean answer.
    """

    def loss(y: Any, logits: Any) -> Any:
        if len(logits.shape) == len(y.shape) + 1:  # targets of whole windows: those of the mean answer over frames
            logits = pool(logits)
        known = keras.ops.logical_not(keras.ops.isnan(y))
        values = distance(keras.ops.where(known, y, 0.0), logits)
        counted = keras.ops.cast(keras.ops.all(known, axis=-1) if rows else known, values.dtype)
        return keras.ops.sum(values * counted) / keras.ops.maximum(keras.ops.sum(counted), 1.0)

    return loss


def _pool_softmax(logits: Any) -> Any:
    """Return logits of which the softmax is the mean answer over frames."""
    return keras.ops.logsumexp(keras.ops.log_softmax(logits, axis=-1), axis=(1,))


_LOSSES: Mapping[str, Callable[[Any, Any], Any]] = {
    "cross_entropy": _mean_known(
        lambda y, logits: keras.ops.categorical_crossentropy(y, logits, from_logits=True), rows=True, pool=_pool_softmax
    ),
    "binary_cross_entropy": _mean_known(lambda y, logits: keras.ops.binary_crossentropy(y, logits, from_logits=True)),
    "mse": _mean_known(lambda y, logits: keras.ops.square(keras.ops.sigmoid(logits) - y)),
    "mse of answers": _mean_known(lambda y, answers: keras.ops.square(answers - y), pool=lambda answers: keras.ops.mean(answers, axis=1)),
}


class KerasLearner(Learner):
    """All that changes while a network is trained.

    Parameters
    ----------
    network : trained in place.
    data, training : what it learns, and how.
    loss : a name of `Training.loss`, or ``"mse of answers"`` of a network that gives no logits.
    """

    def __init__(self, network: keras.Model, data: Data, training: Training, *, loss: str) -> None:
        self.network, self.data, self.training, self.loss = network, data, training, loss
        self.steps = steps_of(data, training.batch_size, drop_last=training.drop_last)
        self.history: list[Record] = []
        self._rate = float("nan")
        network.compile(_optimizer(network, training), _LOSSES[loss])
        network.optimizer.build(network.trainable_variables)
        with seeded(training.seed):
            first = data.batches(0, training.batch_size, seed=training.seed)
            warm_start_batch_norm(network, lambda: next(iter(first)).x)

    def learning_rate(self, epoch: int, step: int = 0) -> float:
        """Learning rate at a step of an epoch."""
        return self.training.rate(Moment(epoch * self.steps + step, self.steps, self.training.epochs, self.history))

    def learn(self, epoch: int) -> float:
        """Take a step for every batch; return the mean loss over all known targets."""
        total, count = 0.0, 0
        with seeded(hash((self.training.seed, epoch)) % 2**31):
            batches = learning_batches(self.data, epoch, self.training, rows=self.loss == "cross_entropy")
            for step, batch in enumerate(batches):
                self._set_rate(epoch, step)
                y = self._targets(batch)
                self.network.reset_metrics()  # else the loss is the mean since the last reset
                try:
                    loss = self.network.train_on_batch(batch.x, y, return_dict=True)["loss"]
                except DcasekitError:
                    raise
                except (RuntimeError, ValueError, TypeError) as error:
                    raise ModelError(
                        f"the network cannot learn from {len(batch.x)} windows of {batch.x.shape[1:]} (frames, dims): {first_line(error)}; "
                        "cut windows of one length (sequence_time), of more frames if they are too short"
                    ) from error
                total, count = total + float(loss) * batch.known, count + batch.known
        return total / count

    def _set_rate(self, epoch: int, step: int) -> None:
        """Set the optimizer's learning rate for a step, where it changes."""
        rate = self.learning_rate(epoch, step)
        if rate != self._rate:
            self.network.optimizer.learning_rate, self._rate = rate, rate

    def _targets(self, batch: LearningBatch) -> FloatArray:
        """Return targets of the shape that the network answers; Keras does not tell the steps of a network for any number of frames."""
        steps, y = self.network.outputs[0].shape[1:], batch.y
        if len(steps) == 2 and y.ndim == 3:
            y = pool_targets(y, steps[0] or y.shape[1])
            steps = (y.shape[1], steps[1])
        check_targets((len(y), *steps), y.shape)
        return y

    def weights(self) -> Weights:
        """Return a copy of what was learned."""
        return arrays_of(self.network)

    def set_weights(self, weights: Weights) -> None:
        """Put weights into the network."""
        for name, variable in variables_of(self.network).items():
            variable.assign(weights[name])

    def state(self) -> State:
        """Return all that changes in a run, seeds of layers included."""
        groups = {"network": state_of(self.network.variables), "optimizer": state_of(self.network.optimizer.variables)}
        return State({}, {f"{group}.{name}": array for group, found in groups.items() for name, array in found.items()})

    def set_state(self, state: State) -> None:
        """Put back what `state` gave."""
        set_state(self.network.variables, state.group("network"))
        set_state(self.network.optimizer.variables, state.group("optimizer"))


def _optimizer(network: keras.Model, training: Training) -> keras.Optimizer:
    kinds, rate = keras.optimizers, training.learning_rate
    if training.optimizer == "sgd":
        optimizer = kinds.SGD(rate, training.momentum, nesterov=training.momentum > 0, weight_decay=training.weight_decay)
    else:
        optimizer = (kinds.AdamW if training.optimizer == "adamw" else kinds.Adam)(rate, weight_decay=training.weight_decay)
    # Kernels decay; biases, and the scales of normalisation layers, do not.
    optimizer.exclude_from_weight_decay(var_list=[variable for variable in network.trainable_variables if len(variable.shape) <= 1])
    return optimizer
