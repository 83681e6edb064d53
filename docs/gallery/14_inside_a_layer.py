"""
What a layer has learned
========================

Every layer has a name, and what it gives for a clip can be taken out: an activation to look at, or an embedding to work with.
"""

import tempfile
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

from dcasekit import DataGenerator, load
from dcasekit.datasets import SyntheticSounds

model = load("quickstart_scenes")
dataset = SyntheticSounds(
    Path(tempfile.gettempdir()) / "dcasekit-gallery" / "unheard", clips=80, seed=11
)
dataset.download()
model.features.extract(dataset)
data = DataGenerator(dataset, model.features, folds=dataset.clips, train=False)

layers = model.layers()
for name, shape in layers.items():
    print(f"{name:20} {shape}")

# %%
# What goes in, and what three layers make of it.

window = next(iter(data)).x[:1]
maps = [name for name, shape in layers.items() if len(shape) == 3]
chosen = [maps[0], maps[len(maps) // 2], maps[-1]]
figure, axes = plt.subplots(4, 1, figsize=(9, 9), layout="constrained")
axes[0].imshow(window[0].T, aspect="auto", origin="lower", cmap="magma")
axes[0].set_title("what goes in")
for ax, name in zip(axes[1:], chosen, strict=True):
    channels = model.activations(window, name)[0][:4]
    ax.imshow(
        np.concatenate(list(channels.transpose(0, 2, 1)), axis=1),
        aspect="auto",
        origin="lower",
        cmap="magma",
    )
    ax.set_title(f"{name}: four channels side by side")
plt.show()

# %%
# The layer before the head as a map: clips that the network takes for alike lie together.

last = [name for name, shape in layers.items() if len(shape) == 1][-2]
embedded = np.concatenate(model.embed(last, data))
centred = embedded - embedded.mean(axis=0)
places = centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T
labels = np.array([next(iter(clip.tags)) for clip in dataset.clips])
figure, ax = plt.subplots(figsize=(6, 5), layout="constrained")
for label in dataset.labels:
    ax.scatter(*places[labels == label].T, s=24, label=label)
ax.legend(frameon=False)
ax.set(title=f"clips by {last}", xticks=[], yticks=[])
plt.show()
