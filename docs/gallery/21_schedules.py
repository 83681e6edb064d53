"""
Learning rates over time
========================

A schedule is a function of a moment of training that gives a factor of the learning rate. Name one, fix its settings with ``functools.partial``,
or write your own.
"""

from functools import partial

from matplotlib import pyplot as plt

from dcasekit.containers import schedules
from dcasekit.containers.schedules import Moment


def sawtooth(moment: Moment) -> float:
    """One of your own: down, and up again, each five epochs."""
    return 1 - (moment.step / moment.steps % 5) / 5


# %%
chosen = {
    "constant": schedules.constant,
    "cosine": schedules.cosine,
    "one_cycle": schedules.one_cycle,
    "restarts": partial(schedules.restarts, cycles=3),
    "ramp_up": partial(schedules.ramp_up, epochs=10),
    "inverse_decay": partial(schedules.inverse_decay, decay=0.02),
    "sawtooth": sawtooth,
}
epochs, steps = 20, 50
figure, ax = plt.subplots(figsize=(8, 4.4), layout="constrained")
for name, schedule in chosen.items():
    moments = [Moment(step, steps, epochs) for step in range(epochs * steps)]
    ax.plot(
        [moment.step / steps for moment in moments],
        [schedule(moment) for moment in moments],
        label=name,
    )
ax.set(xlabel="epoch", ylabel="factor of the learning rate")
ax.legend(frameon=False, ncols=2)
plt.show()
