# %% [markdown]
# # Fine-tune: begin with a network that has heard something else
#
# `load("esc10")` is a small network that comes with the library; it has learned ten classes of real recordings. Here it learns five scenes
# it has never heard, from few clips: with its convolutions kept and a new head alone trained, with all of it trained on, and, beside it,
# the same network from new weights.
#
# Open it in Jupyter: `jupytext --to ipynb notebooks/fine_tune.py`.

# %%
import os
from pathlib import Path

from matplotlib import pyplot as plt

from dcasekit import DataGenerator, load
from dcasekit.containers import trained
from dcasekit.datasets import SyntheticSounds
from dcasekit.models import CompactCNN
from dcasekit.plots import label_bars, learning_curves

QUICK = bool(os.environ.get("DCASEKIT_QUICK"))  # as the tests run it: few sounds, few epochs
OUT = Path("runs/fine_tune")
CLIPS, SECONDS, EPOCHS = (100, 1.0, 1) if QUICK else (400, 5.0, 15)
FEW = 60  # clips to learn from

# %%
card = trained.card("esc10")
print("esc10:", card["licence"])
source = load("esc10")
print("it answers", ", ".join(source.labels))

# %% [markdown]
# ## The data, as the model wants them
#
# Features travel with a model: data for it are made with `source.features`.

# %%
dataset = SyntheticSounds(OUT / "sounds", clips=CLIPS, seconds=SECONDS)
dataset.download()
source.features.extract(dataset)
split = dataset.split("fold1")
few = split.train[:: max(1, len(split.train) // FEW)]
train = DataGenerator(dataset, source.features, folds=few)
validation, test = (DataGenerator(dataset, source.features, folds=part, train=False) for part in (split.validation, split.test))
print(f"{len(few)} clips to learn from, {len(split.test)} to test")

# %% [markdown]
# ## Three ways
#
# `fine_tune` replaces what depends on the labels, the head, and freezes what it is told to. A layer's name in `freeze` keeps all up to it.

# %%
settings = {"epochs": EPOCHS, "batch_size": 16, "learning_rate": 3e-3, "optimizer": "adamw", "schedule": "one_cycle", "seed": 0}
models = {"new head": load("esc10"), "tuned": load("esc10"), "new weights": CompactCNN(**source.settings)}
models["new head"].fine_tune(train, validation, freeze="all", **settings)
models["tuned"].fine_tune(train, validation, freeze="none", **settings)
models["new weights"].train(train, validation, **settings)

results = {name: model.evaluate(test) for name, model in models.items()}
for name, result in results.items():
    print(f"{name}: accuracy {result.numbers['accuracy']:.3f} ({result.interval[0]:.3f} to {result.interval[1]:.3f})")
gain = results["tuned"].compare(results["new weights"])
print(f"tuned minus new weights: {gain.difference:+.3f} ({gain.interval[0]:+.3f} to {gain.interval[1]:+.3f}), p {gain.p:.3f}")

# %% [markdown]
# ## Seen
#
# Where a start from real recordings helps, its validation curve is above from the first epochs on.

# %%
figure, axes = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
for ax, name in zip(axes, ("tuned", "new weights"), strict=False):
    learning_curves(models[name].history, quantity="accuracy", ax=ax)
    ax.set_title(name, loc="right")
    ax.set_ylim(0, 1)
accuracy = {name: result.numbers["accuracy"] for name, result in results.items()}
label_bars(accuracy, intervals={name: result.interval for name, result in results.items()}, name="accuracy on the test fold", ax=axes[2])
plt.show()
