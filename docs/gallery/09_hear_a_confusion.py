"""
A confusion one can listen to
=============================

A number says that a network errs; the recording says why. These are the clips it was surest of, and wrong.
"""

import tempfile
from pathlib import Path

from matplotlib import pyplot as plt

from dcasekit import DataGenerator, audio, load
from dcasekit.datasets import SyntheticSounds
from dcasekit.plots import spectrogram

model = load("quickstart_scenes")
dataset = SyntheticSounds(
    Path(tempfile.gettempdir()) / "dcasekit-gallery" / "unheard", clips=80, seed=11
)
dataset.download()
model.features.extract(dataset)
results = model.evaluate(
    DataGenerator(dataset, model.features, folds=dataset.clips, train=False)
)
print(
    f"accuracy {results.numbers['accuracy']:.2f} on {len(results.clips)} clips that it has never heard"
)

# %%
mistakes = results.mistakes(4)
figure, axes = plt.subplots(2, 2, figsize=(10, 6), layout="constrained")
for ax, mistake in zip(axes.flat, mistakes, strict=True):
    spectrogram(*audio.read(mistake.path), ax=ax)
    ax.set_title(f"{mistake.true}, taken for {mistake.predicted} ({mistake.confidence:.0%})")
plt.show()

# %%
sounds = {f"{one.true}, taken for {one.predicted}": audio.read(one.path) for one in mistakes}
