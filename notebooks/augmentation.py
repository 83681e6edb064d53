# %% [markdown]
# # Augmentation: more sounds out of few, and labels that stay true
#
# An augmentation first draws what to do, then does it. What was drawn can be printed and repeated, and events move along with the sound:
# a stretched recording has stretched events.
#
# Open it in Jupyter: `jupytext --to ipynb notebooks/augmentation.py`.

# %%
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

from dcasekit import AugmentedDataset, DataGenerator, audio
from dcasekit.augmentations import PitchShift, Shift, TimeStretch, WhiteNoise
from dcasekit.batch_augmentations import mixup, spec_augment
from dcasekit.datasets import SyntheticSounds
from dcasekit.features import Mel, MelSpectrogram
from dcasekit.plots import spectrogram

OUT = Path("runs/augmentation")

# %%
dataset = SyntheticSounds(OUT / "sounds", task="detection", clips=100)
dataset.download()
clip = max(dataset.clips, key=lambda clip: len(clip.events))
sound, sr = audio.read(clip.path)

# %% [markdown]
# ## One recording

# %%
rng = np.random.default_rng(0)
changed = {}
for augmentation in (TimeStretch(factor=0.8), PitchShift(n_semitones=4), Shift(), WhiteNoise(snr=10)):
    drawn = augmentation.draw(rng)
    changed[str(augmentation)] = augmentation.apply(sound, clip.events, drawn, sr=sr)
    print(augmentation, "drew", drawn)

# %% [markdown]
# ## A dataset and its copies
#
# An augmented dataset is a dataset: the originals, and a copy of each per augmentation, which `process` writes once. Copies are for
# training: no split puts one into validation or test, and none goes where its original is not.

# %%
augmented = AugmentedDataset(dataset, [{"type": "time_stretching", "factor": 0.8}, {"type": "white_noise", "snr": 10}])
augmented.process()
split = augmented.split()
print(f"{len(dataset.clips)} clips became {len(augmented.clips)}")
print(
    "copies in train, validation, test:", *(sum("parent" in c.extra for c in part) for part in (split.train, split.validation, split.test))
)
copy = next(c for c in augmented.clips if c.extra.get("parent") == clip.id)
print(f"{clip.id}: {clip.duration:.2f} s, its first event at {clip.events[0].onset:.2f} s")
print(f"its copy: {copy.duration:.2f} s, its first event at {copy.events[0].onset:.2f} s")

# %% [markdown]
# ## In every batch anew
#
# What is cheap is done to windows of features while a network trains: `train(augment=[...])` takes functions of a batch.

# %%
features = MelSpectrogram(sr=sr, audio_win=800, audio_hop=400, mel=Mel(bands=64), sequence_time=None)
features.extract(dataset)
split = dataset.split()
batch = next(iter(DataGenerator(dataset, features, folds=split.train[:8], target="clip", train=False)))
mixed, targets = mixup(batch.x, batch.y, rng, alpha=8.0)
masked, _ = spec_augment(batch.x, batch.y, rng, time_masks=2, time_frames=20, band_masks=1, bands=10)
print(
    "targets of a window, mixed with those of another:",
    *(f"{label} {y:.2f}" for label, y in zip(dataset.labels, targets[0], strict=True) if y),
)

# %% [markdown]
# ## Seen
#
# On the left what was done to the recording, with its events; on the right what was done to features.

# %%
figure, axes = plt.subplots(3, 2, figsize=(12, 9), layout="constrained")
recordings = [("as it was", (sound, clip.events)), *list(changed.items())[:2]]
for ax, (title, (audio_now, events)) in zip(axes[:, 0], recordings, strict=True):
    spectrogram(audio_now, sr, events=events, ax=ax)
    ax.set(title=title, xlim=(0, len(sound) / sr / 0.8))
for ax, (title, x) in zip(axes[:, 1], (("a window", batch.x), ("mixed with another", mixed), ("masked", masked)), strict=True):
    ax.imshow(x[0].T, aspect="auto", origin="lower", cmap="magma", vmin=batch.x[0].min(), vmax=batch.x[0].max())
    ax.set(title=title, xlabel="frame", ylabel="mel band")
plt.show()
