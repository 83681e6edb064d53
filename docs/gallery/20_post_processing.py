"""
From scores to events, step by step
===================================

Smooth, decide, close gaps, drop what is too short; or two thresholds at once (hysteresis).
"""

import numpy as np
from matplotlib import pyplot as plt

from dcasekit import Event, Scores, to_events
from dcasekit.plots import timeline
from dcasekit.scores import median_filter
from dcasekit.scores.postprocessing import close_gaps, drop_short, hysteresis

rng = np.random.default_rng(4)
edges = np.arange(0, 10.01, 0.05)
truth = [Event(1, 3, "dog"), Event(5.5, 9, "dog")]
inside = np.array([any(e.onset <= t < e.offset for e in truth) for t in edges[:-1]])
values = np.clip(0.2 + 0.5 * inside + rng.normal(0, 0.16, len(inside)), 0, 1)
scores = Scores(values[:, None], edges, ("dog",))

# %%
raw = to_events(scores, threshold=0.5)
closed = close_gaps(raw, seconds=0.3)
steps = {
    "threshold 0.5": raw,
    "... gaps of 0.3 s closed": closed,
    "... at least 0.5 s": drop_short(closed, seconds=0.5),
    "median filter of 1 s": to_events(median_filter(scores, seconds=1.0), threshold=0.5),
    "hysteresis 0.8, 0.35": hysteresis(scores, high=0.8, low=0.35),
}
figure, axes = plt.subplots(
    len(steps) + 1, 1, figsize=(9, 9), layout="constrained", sharex=True
)
axes[0].plot(edges[:-1], values)
axes[0].axhline(0.5, linestyle="--")
axes[0].set(title="scores", ylim=(0, 1))
for ax, (name, events) in zip(axes[1:], steps.items(), strict=True):
    timeline(truth, events, duration=10.0, ax=ax)
    ax.set(title=f"{name}: {len(events)} events", xlabel="")
plt.show()
