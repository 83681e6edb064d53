"""
Weak, strong and soft labels as targets
=======================================

The same clip, known in four ways, and the targets that a network is trained on. White is unknown and does not count.
"""

import numpy as np
from matplotlib import pyplot as plt

from dcasekit import Event
from dcasekit.annotations import events_to_roll, events_to_tags, harden, tags_to_vector

labels, edges = ("car", "dog", "voice"), np.arange(0, 10.01, 0.1)
strong = [Event(0.5, 4.0, "car"), Event(2.0, 3.0, "dog"), Event(5.0, 9.0, "voice")]
soft = [Event(0.5, 4.0, "car", 0.9), Event(2.0, 3.0, "dog", 0.4), Event(5.0, 9.0, "voice", 0.7)]
weak = np.repeat(tags_to_vector(events_to_tags(strong), labels)[None], len(edges) - 1, axis=0)

# %%
kinds = {
    "strong: what and when": events_to_roll(strong, labels, edges),
    "soft: how many heard it": events_to_roll(soft, labels, edges),
    "soft, hardened: above one half": events_to_roll(harden(soft), labels, edges),
    "weak, frame-level: unknown": events_to_roll(None, labels, edges),
    "weak, clip-level": weak,
}
figure, axes = plt.subplots(len(kinds), 1, figsize=(9, 9), layout="constrained", sharex=True)
for ax, (name, roll) in zip(axes, kinds.items(), strict=True):
    ax.imshow(
        roll.T,
        aspect="auto",
        cmap="Blues",
        vmin=-0.1,
        vmax=1,
        extent=(0, 10, 3, 0),
        interpolation="none",
    )
    ax.set_yticks([0.5, 1.5, 2.5], labels)
    ax.set_title(name)
axes[-1].set_xlabel("time, s")
plt.show()
