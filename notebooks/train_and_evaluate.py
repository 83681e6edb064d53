# %% [markdown]
# # Train a network, and say honestly how good it is
#
# Three folds to learn from, one to choose the best epoch by, one that nothing has seen until the end. The main number comes with an
# interval, and beside a system that knows nothing.
#
# Open it in Jupyter: `jupytext --to ipynb notebooks/train_and_evaluate.py`.

# %%
import os
from pathlib import Path

from matplotlib import pyplot as plt

from dcasekit import DataGenerator, Scaler, load
from dcasekit.datasets import SyntheticSounds
from dcasekit.features import Mel, MelSpectrogram
from dcasekit.models import CompactCNN
from dcasekit.models.sklearn import LogisticRegression
from dcasekit.plots import confusion_matrix, label_bars, learning_curves

QUICK = bool(os.environ.get("DCASEKIT_QUICK"))  # as the tests run it: few sounds, few epochs
OUT = Path("runs/train_and_evaluate")
CLIPS, SECONDS, EPOCHS = (100, 2.0, 2) if QUICK else (400, 5.0, 20)

# %%
dataset = SyntheticSounds(OUT / "sounds", clips=CLIPS, seconds=SECONDS)
dataset.download()
features = MelSpectrogram(sr=16000, audio_win=800, audio_hop=400, mel=Mel(bands=40), sequence_time=None)
features.extract(dataset)

split = dataset.split("fold1")
train, validation = (DataGenerator(dataset, features, folds=part) for part in (split.train, split.validation))
test = DataGenerator(dataset, features, folds=split.test, train=False)
scaler = Scaler("standard").fit(train)
for data in (train, validation, test):
    data.set_scaler(scaler)
print(train)

# %% [markdown]
# ## Training
#
# The weights that are kept are those of the epoch that was best on validation data. With `resume` a run that is killed goes on where it
# was, and one that is done is not done again.

# %%
model = CompactCNN()
history = model.train(
    train,
    validation,
    epochs=EPOCHS,
    batch_size=16,
    learning_rate=3e-3,
    optimizer="adamw",
    schedule="one_cycle",
    early_stopping=10,
    resume=OUT / "checkpoint",
    seed=0,
)
best = max(history, key=lambda epoch: epoch["val_accuracy"])
print(f"best of {len(history)} epochs: {best['epoch']}, validation accuracy {best['val_accuracy']:.3f}")
print("a window costs {macs:,} multiply-accumulates in a network of {parameters:,} parameters".format(**model.cost()))

# %% [markdown]
# ## Testing
#
# The interval is a bootstrap's over recording places: clips of one place stand or fall together. The same clips, answered by a linear
# model, tell whether the network was needed; `compare` draws both on the same clips.

# %%
results = model.evaluate(test)
print(results)
linear = LogisticRegression()
linear.train(train, validation)
simple = linear.evaluate(test)
gain = results.compare(simple)
print(f"chance {1 / len(dataset.labels):.2f}, linear model {simple.numbers['accuracy']:.2f}, network {results.numbers['accuracy']:.2f}")
print(f"network minus linear model: {gain.difference:+.3f} ({gain.interval[0]:+.3f} to {gain.interval[1]:+.3f}), p {gain.p:.3f}")

# %% [markdown]
# ## A model is a folder
#
# Weights, settings and front end, without pickle. What is loaded answers files.

# %%
model.save(OUT / "model")
again = load(OUT / "model")
clip = split.test[0]
(scores,) = again.predict([clip.path])
print(clip.id, "is", *clip.tags, "; the model says:", ", ".join(f"{label} {score:.2f}" for label, score in scores.top(3)))
for mistake in results.mistakes(3):
    print(f"{mistake.clip}: {mistake.true}, taken for {mistake.predicted} with {mistake.confidence:.2f}")

# %%
figure, axes = plt.subplots(1, 3, figsize=(15, 5), layout="constrained")
learning_curves(history, quantity="accuracy", ax=axes[0])
confusion_matrix(results.confusion, results.labels, ax=axes[1])
label_bars({row["label"]: row["recall"] for row in results.table()}, name="recall", ax=axes[2])
plt.show()
