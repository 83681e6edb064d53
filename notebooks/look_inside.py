# %% [markdown]
# # Look inside a network
#
# What does a trained network make of a sound on the way to its answer? Every layer has a name; what it gives for a clip can be taken out,
# as an activation to look at or as an embedding to work with. The network is `esc10`, which comes with the library.
#
# Open it in Jupyter: `jupytext --to ipynb notebooks/look_inside.py`.

# %%
import os
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

from dcasekit import DataGenerator, load
from dcasekit.datasets import ESC10, SyntheticSounds

QUICK = bool(os.environ.get("DCASEKIT_QUICK"))  # as the tests run it: few sounds
DATA = os.environ.get("DCASEKIT_DATA")  # a folder that holds ESC-10; without it the sounds are made
OUT = Path("runs/look_inside")

# %%
model = load("esc10")
if DATA:
    dataset = ESC10(Path(DATA) / "ESC-10", cache=OUT / "cache")
else:
    dataset = SyntheticSounds(OUT / "sounds", clips=60 if QUICK else 400, seconds=1.0 if QUICK else 5.0)
    dataset.download()
model.features.extract(dataset)
clips = [clip for clip in dataset.clips if clip.fold == dataset.present_folds[0]]
data = DataGenerator(dataset, model.features, folds=clips, train=False)

# %% [markdown]
# ## Layers
#
# Names, and the shape of what each gives for one window.

# %%
layers = model.layers()
for name, shape in layers.items():
    print(f"{name:28} {shape}")
print("{parameters:,} parameters, {macs:,} multiply-accumulates a window".format(**model.cost()))

# %% [markdown]
# ## Activations
#
# What two layers give for one clip: an early one still looks like the sound, a late one has forgotten its details.

# %%
window = next(iter(data)).x[:1]
early, *_, late = [name for name, shape in layers.items() if len(shape) == 3]
seen = {name: model.activations(window, name)[0] for name in (early, late)}
for name, values in seen.items():
    print(name, values.shape, f"{np.mean(values == 0):.0%} zeros")

# %% [markdown]
# ## Embeddings
#
# The last layer before the head, for every clip: a few numbers in which what the network takes for alike lies close together. Their two
# main directions are a picture; how often a clip's nearest neighbour is of its label is a figure. ESC-10's own clips are what this network
# has learned: theirs (95 %) is no measure of unheard sounds.

# %%
last = [name for name, shape in layers.items() if len(shape) == 1][-2]
embedded = np.concatenate([rows.mean(axis=0, keepdims=True) for rows in model.embed(last, data)])
labels = np.array([next(iter(clip.tags)) for clip in clips])
apart = np.linalg.norm(embedded[:, None] - embedded[None], axis=2) + np.diag(np.full(len(clips), np.inf))
print(f"{last}: {embedded.shape}; nearest neighbour of the same label: {np.mean(labels[apart.argmin(axis=1)] == labels):.0%}")
centred = embedded - embedded.mean(axis=0)
places = centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T

# %%
figure = plt.figure(figsize=(13, 6), layout="constrained")
grid = figure.add_gridspec(3, 2)
maps = {f"{name}, channel by channel": np.concatenate(list(np.moveaxis(values[:4], 1, -1)), axis=1) for name, values in seen.items()}
for row, (title, picture) in enumerate({"what goes in": window[0].T, **maps}.items()):
    ax = figure.add_subplot(grid[row, 0])
    ax.imshow(picture, aspect="auto", origin="lower", cmap="magma")
    ax.set(title=title, xticks=[], yticks=[])
ax = figure.add_subplot(grid[:, 1])
for number, label in enumerate(dict.fromkeys(labels.tolist())):
    ax.scatter(*places[labels == label].T, s=24, color=plt.cm.tab10(number), label=label)
ax.legend(frameon=False, fontsize="small")
ax.set(title="clips by their embedding", xlabel="first direction", ylabel="second direction")
plt.show()
