# %% [markdown]
# # Download a dataset, and look at what came
#
# A dataset is an object that exists before its files do: it knows its labels, folds, protocol and licence, and fetches the rest. Here it
# is `SyntheticSounds`, which is made instead of fetched, so nothing needs the network; every line is the same for a published dataset.
#
# Open it in Jupyter: `jupytext --to ipynb notebooks/download_and_prepare.py`.

# %%
from pathlib import Path

from matplotlib import pyplot as plt

from dcasekit import audio
from dcasekit.datasets import ESC50, SyntheticSounds
from dcasekit.plots import spectrogram, timeline

OUT = Path("runs/download_and_prepare")

# %% [markdown]
# What ESC-50 states before a byte of it is here:

# %%
esc50 = ESC50("data/ESC-50")
print(esc50.task, "of", len(esc50.labels), "labels in", len(esc50.folds), "folds;", esc50.licence)
print("downloaded:", esc50.check_if_downloaded())

# %% [markdown]
# `esc50.download(progress=True)` would fetch it: what was fetched before an interruption is kept, checksums are compared, archives
# unpacked. The same call makes the synthetic sounds; called again it has nothing to do.

# %%
dataset = SyntheticSounds(OUT / "sounds", task="detection", clips=100)
print("made now:", dataset.download())
print("made again:", dataset.download())

# %% [markdown]
# ## Are the files whole?
#
# `validate` opens every file and lists what is wrong: missing, unreadable, cut off, silent, twice there, or listed nowhere. One that a
# disk or a careless hand has spoiled is named:

# %%
print("problems:", dataset.validate())
spoiled = dataset.clips[3].path
whole = spoiled.read_bytes()
spoiled.write_bytes(whole[: len(whole) // 2])
for problem in dataset.validate():
    print("after an accident:", problem)
spoiled.write_bytes(whole)

# %% [markdown]
# ## What is in it?
#
# A clip is a file and what is known about it. `summary` counts labels and splits.

# %%
clip = max(dataset.clips, key=lambda clip: len(clip.events))
print(clip.id, clip.fold, f"{clip.duration} s, group {clip.group}")
for event in clip.events:
    print(f"  {event.onset:5.2f} to {event.offset:5.2f} s  {event.label}")
print(dataset.summary())

# %% [markdown]
# ## Another sampling rate, another split, other labels
#
# The files stay as they are: resampled copies lie beside what else is derived, `with_labels` changes what is known, not what is there.

# %%
dataset.change_sampling_rate(8000)
print("copies at 8 kHz:", dataset.check_sampling_rate(8000))
split = dataset.split("fold2")
print("train, validate, test:", *(len(part) for part in (split.train, split.validation, split.test)))
fewer = dataset.with_labels(dataset.labels[:3])
print("three labels of", len(dataset.labels), ":", *fewer.labels)

# %% [markdown]
# ## The clip with the most events, seen

# %%
sound, sr = audio.read(clip.path)
figure, (above, below) = plt.subplots(2, figsize=(9, 6), sharex=True, height_ratios=(3, 2), layout="constrained")
spectrogram(sound, sr, ax=above)
above.set(title=f"{clip.id}, {clip.extra['scene']}", xlabel="")
timeline(clip.events, duration=clip.duration, ax=below)
plt.show()
