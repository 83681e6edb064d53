"""
Is one system better?
=====================

Two intervals that overlap say little. The same clips, drawn together for both, say more: a paired test.
"""

import tempfile
from pathlib import Path

from matplotlib import pyplot as plt

from dcasekit import DataGenerator, load
from dcasekit.datasets import SyntheticSounds
from dcasekit.models.sklearn import LogisticRegression, RandomForest
from dcasekit.plots import label_bars

network = load("quickstart_scenes")
dataset = SyntheticSounds(
    Path(tempfile.gettempdir()) / "dcasekit-gallery" / "unheard", clips=80, seed=11
)
dataset.download()
network.features.extract(dataset)
split = dataset.split("fold1")
test = DataGenerator(
    dataset, network.features, folds=(*split.test, *split.validation), train=False
)

# %%
models = {
    "network": network,
    "random forest": RandomForest(),
    "logistic regression": LogisticRegression(),
}
for name in ("random forest", "logistic regression"):
    models[name].train(DataGenerator(dataset, network.features, folds=split.train), seed=0)
results = {name: model.evaluate(test) for name, model in models.items()}
for name in ("random forest", "logistic regression"):
    gain = results["network"].compare(results[name])
    low, high = gain.interval
    print(
        f"network minus {name}: {gain.difference:+.2f} ({low:+.2f} to {high:+.2f}), p {gain.p:.3f}"
    )

# %%
figure, ax = plt.subplots(figsize=(7, 3), layout="constrained")
accuracy = {name: result.numbers["accuracy"] for name, result in results.items()}
label_bars(
    accuracy,
    intervals={name: result.interval for name, result in results.items()},
    name="accuracy",
    ax=ax,
)
plt.show()
