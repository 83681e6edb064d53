"""Schedules of the learning rate: functions that take a moment of training and return a factor of the learning rate.

`train(schedule=...)` takes the name of one of these, a function of your own, or `functools.partial` of one to change its settings.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Moment:
    """How far training has come, just before a step.

    Parameters
    ----------
    step : number of steps taken so far, since the start of training.
    steps : number of steps in an epoch.
    epochs : number of planned epochs.
    history : the record of each finished epoch.
    """

    step: int
    steps: int
    epochs: int
    history: Sequence[Mapping[str, float]] = ()

    @property
    def progress(self) -> float:
        """The share of the planned steps that has been taken, from 0 to 1."""
        return self.step / (self.steps * self.epochs)


Schedule: TypeAlias = Callable[[Moment], float]


def constant(moment: Moment) -> float:  # noqa: ARG001
    """Keep the learning rate as it is."""
    return 1.0


def cosine(moment: Moment) -> float:
    """Let the learning rate fall to zero along half a cosine over the whole training (Loshchilov and Hutter 2017, without restarts)."""
    return (1 + math.cos(math.pi * moment.progress)) / 2


def one_cycle(moment: Moment, *, rise: float = 0.1, rise_steps: int | None = None) -> float:
    """Raise the learning rate linearly from zero, then let it fall to zero along half a cosine (Smith 2018).

    Parameters
    ----------
    moment : the step that is about to be taken.
    rise : share of the training in which the rate rises, between 0 and 1.
    rise_steps : number of steps in which the rate rises, used instead of `rise`; at most half of all steps.

    Examples
    --------
    >>> [round(one_cycle(Moment(step, 10, 10), rise_steps=20), 3) for step in (0, 10, 20, 60)]
    [0.0, 0.5, 1.0, 0.5]
    """
    if rise_steps is not None:
        rise = min(rise_steps / (moment.steps * moment.epochs), 0.5)
    if moment.progress < rise:
        return moment.progress / rise
    return (1 + math.cos(math.pi * (moment.progress - rise) / (1 - rise))) / 2


def restarts(moment: Moment, *, cycles: int = 2, floor: float = 1e-3) -> float:
    """Let the learning rate fall along half a cosine several times, each time from its full value (Loshchilov and Hutter 2017).

    Parameters
    ----------
    moment : the step that is about to be taken.
    cycles : number of cycles in the whole training, all equally long. DcaseNet has 2, each of 80 epochs.
    floor : the lowest factor. DcaseNet's learning rate falls from 1e-3 to 1e-6, so its factor falls to 1e-3.

    Examples
    --------
    >>> [round(restarts(Moment(step, 10, 4)), 3) for step in (0, 10, 19, 20)]
    [1.0, 0.5, 0.007, 1.0]
    """
    period = moment.steps * moment.epochs / cycles
    return floor + (1 - floor) * (1 + math.cos(math.pi * (moment.step % period) / period)) / 2


def ramp_up(moment: Moment, *, epochs: float = 50.0) -> float:
    """Raise the learning rate along exp(-5 (1 - t)^2), where t grows from 0 to 1 in the first epochs; then keep its full value.

    Mean teachers start so (Tarvainen and Valpola 2017; the DCASE 2023 task 4A baseline).

    Parameters
    ----------
    moment : the step that is about to be taken.
    epochs : number of epochs in which the rate rises.

    Examples
    --------
    >>> round(ramp_up(Moment(0, 118, 200)), 4), ramp_up(Moment(5900, 118, 200))
    (0.0067, 1.0)
    """
    return math.exp(-5 * (1 - min(moment.step / (epochs * moment.steps), 1)) ** 2)


def inverse_decay(moment: Moment, *, decay: float = 1e-3) -> float:
    """Divide the learning rate by 1 + decay * step. This is the ``decay`` of older Keras, used by the acoustic scene tutorial.

    Parameters
    ----------
    moment : the step that is about to be taken.
    decay : how much the divisor grows in each step.

    Examples
    --------
    >>> [float(f"{1e-3 * inverse_decay(Moment(259 * epochs, 259, 100)):.3g}") for epochs in (1, 10, 50, 100)]
    [0.000794, 0.000279, 7.17e-05, 3.72e-05]
    """
    return 1 / (1 + decay * moment.step)


def plateau(moment: Moment, *, patience: int = 45, factor: float = 0.1, key: str = "val_loss") -> float:
    """Multiply the learning rate by a factor whenever a loss has not fallen for a while.

    Epochs are counted as in the DCASE 2023 task 4B baseline: from the last improvement or reduction on, the improving epoch included.

    Parameters
    ----------
    moment : the step that is about to be taken.
    patience : the rate is lowered once more than this number of epochs has been counted.
    factor : what the rate is multiplied by, each time.
    key : which number of the epochs' records to watch; smaller is better.

    Examples
    --------
    >>> history = [{"val_loss": loss} for loss in (3.0, 2.0, 2.0, 2.0, 2.0)]
    >>> [plateau(Moment(epoch, 1, 10, history[:epoch]), patience=2) for epoch in range(6)]
    [1.0, 1.0, 1.0, 1.0, 0.1, 0.1]
    """
    rate, best, waited = 1.0, float("inf"), 0
    for record in moment.history:
        if record[key] < best:
            best, waited = record[key], 0
        waited += 1
        if waited > patience:
            rate, waited = rate * factor, 0
    return rate


def mean_decay(steps: int, *, decay: float = 0.999) -> float:
    """Return the decay of a mean teacher's average: min(1 - 1 / (steps + 1), decay); for ``train(average=)``.

    At first the average is therefore the plain mean of all weights so far (Tarvainen and Valpola 2017; DCASE 2023 task 4A baseline).

    Parameters
    ----------
    steps : number of steps taken so far.
    decay : the largest decay.

    Examples
    --------
    >>> [round(mean_decay(steps), 4) for steps in (1, 100, 5900)]
    [0.5, 0.9901, 0.999]
    """
    return min(1 - 1 / (steps + 1), decay)


SCHEDULES: Mapping[str, Schedule] = {
    function.__name__: function for function in (constant, cosine, one_cycle, restarts, ramp_up, inverse_decay, plateau)
}
# Those that do not depend on how many epochs are planned: a run of theirs can be extended.
OPEN_ENDED = ("constant", "ramp_up", "inverse_decay", "plateau")
