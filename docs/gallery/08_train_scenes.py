"""
Train, test, and see where it errs
==================================

Learning curves, a confusion matrix, and the recall of each label with its interval.
"""

import tempfile
from pathlib import Path

from matplotlib import pyplot as plt

from dcasekit import DataGenerator
from dcasekit.datasets import SyntheticSounds
from dcasekit.features import Mel, MelSpectrogram
from dcasekit.models import CompactCNN
from dcasekit.plots import confusion_matrix, label_bars, learning_curves

dataset = SyntheticSounds(
    Path(tempfile.gettempdir()) / "dcasekit-gallery" / "scenes200", clips=200, seconds=2.0
)
dataset.download()
features = MelSpectrogram(
    sr=16000, audio_win=800, audio_hop=400, mel=Mel(bands=40), sequence_time=None
)
features.extract(dataset)
split = dataset.split("fold1")

# %%
# Twelve epochs of a small network; the best epoch on validation clips is kept.

model = CompactCNN(filters=(8, 16, 32, 64))
history = model.train(
    DataGenerator(dataset, features, folds=split.train),
    DataGenerator(dataset, features, folds=split.validation, train=False),
    epochs=12,
    batch_size=16,
    learning_rate=3e-3,
    schedule="one_cycle",
    seed=0,
)
results = model.evaluate(DataGenerator(dataset, features, folds=split.test, train=False))
print(results)

# %%
figure, axes = plt.subplots(1, 3, figsize=(13, 4.2), layout="constrained")
learning_curves(history, ax=axes[0])
confusion_matrix(results.confusion, results.labels, ax=axes[1])
label_bars(
    {label: results.numbers[f"recall/{label}"] for label in results.labels},
    name="recall",
    ax=axes[2],
)
plt.show()
