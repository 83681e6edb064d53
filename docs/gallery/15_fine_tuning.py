"""
Fine-tuning
===========

``esc10`` has learned ten kinds of real recordings. Here it learns five scenes from forty clips: with a new head alone, wholly, and beside it the
same network from new weights.
"""

import tempfile
from pathlib import Path

from matplotlib import pyplot as plt

from dcasekit import DataGenerator, load
from dcasekit.datasets import SyntheticSounds
from dcasekit.models import CompactCNN
from dcasekit.plots import label_bars, learning_curves

dataset = SyntheticSounds(
    Path(tempfile.gettempdir()) / "dcasekit-gallery" / "scenes", clips=100, seconds=1.0, seed=3
)
dataset.download()
source = load("esc10")
source.features.extract(dataset)
split = dataset.split("fold1")
train = DataGenerator(dataset, source.features, folds=split.train[:40])
validation, test = (
    DataGenerator(dataset, source.features, folds=part, train=False)
    for part in (split.validation, split.test)
)

# %%
settings = {
    "epochs": 6,
    "batch_size": 8,
    "learning_rate": 3e-3,
    "optimizer": "adamw",
    "schedule": "one_cycle",
    "seed": 0,
}
models = {
    "new head": load("esc10"),
    "all of it": load("esc10"),
    "new weights": CompactCNN(**source.settings),
}
models["new head"].fine_tune(train, validation, freeze="all", **settings)
models["all of it"].fine_tune(train, validation, freeze="none", **settings)
models["new weights"].train(train, validation, **settings)
results = {name: model.evaluate(test) for name, model in models.items()}

# %%
figure, axes = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
for ax, name in zip(axes, ("all of it", "new weights"), strict=False):
    learning_curves(models[name].history, quantity="accuracy", ax=ax)
    ax.set(title=name, ylim=(0, 1))
accuracy = {name: result.numbers["accuracy"] for name, result in results.items()}
label_bars(
    accuracy,
    intervals={name: result.interval for name, result in results.items()},
    name="accuracy",
    ax=axes[2],
)
plt.show()
