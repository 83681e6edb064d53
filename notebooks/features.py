# %% [markdown]
# # Features: from a file to what a network sees
#
# A feature extractor turns audio into frames, and says how frames are cut into windows. It is a set of settings and nothing else; the
# same settings give the same numbers, and the same folder on disk.
#
# Open it in Jupyter: `jupytext --to ipynb notebooks/features.py`.

# %%
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

from dcasekit import DataGenerator, Scaler, audio
from dcasekit.datasets import SyntheticSounds
from dcasekit.features import MFCC, Mel, MelSpectrogram, presets
from dcasekit.plots import spectrogram

OUT = Path("runs/features")

# %%
dataset = SyntheticSounds(OUT / "sounds", task="detection", clips=100)
dataset.download()
clip = max(dataset.clips, key=lambda clip: len(clip.events))
sound, sr = audio.read(clip.path)

# %% [markdown]
# ## One recording
#
# Settings that several libraries choose otherwise (the mel scale, the window, the logarithm) are settings here; the published front ends
# have names.

# %%
mel = MelSpectrogram(sr=sr, audio_win=800, audio_hop=400, mel=Mel(bands=64), sequence_time=1.0, sequence_hop_time=0.5)
mfcc = MFCC(sr=sr, audio_win=800, audio_hop=400)
frames = mel.compute(sound)
print("frames, bands:", frames.shape, "; 10 s make", mel.get_shape(10.0), "(windows, frames, bands)")
for name in ("dcase2018_task4", "dcasenet", "vggish"):
    print(f"{name}: {presets()[name].source}")
print("DcaseNet's front end:", MelSpectrogram.preset("dcasenet").get_shape(10.0))

# %% [markdown]
# ## All of a dataset
#
# `extract` computes what is not stored yet, in several processes. Called again it does nothing; windows of another length are cut out of
# the same frames, other bands are computed into a folder of their own.

# %%
store = mel.extract(dataset)
print("stored in", store.folder.relative_to(OUT))
longer = MelSpectrogram(sr=sr, audio_win=800, audio_hop=400, mel=Mel(bands=64), sequence_time=2.0)
other = MelSpectrogram(sr=sr, audio_win=800, audio_hop=400, mel=Mel(bands=40))
print("windows of 2 s are extracted:", longer.check_if_extracted(dataset), "; 40 bands:", other.check_if_extracted(dataset))

# %% [markdown]
# ## Batches
#
# A generator cuts the windows and says what sounds in each. The scaler learns from training data alone.

# %%
split = dataset.split()
train = DataGenerator(dataset, mel, folds=split.train, target="frame")
scaler = Scaler("standard").fit(train)
train.set_scaler(scaler)
batch = next(iter(train))
print(train)
print("x", batch.x.shape, f"mean {batch.x.mean():.2f}, deviation {batch.x.std():.2f}; y", batch.y.shape)

# %% [markdown]
# ## What came of the sound
#
# Above the recording and its events; then mel bands, cepstral coefficients, and the targets that go with them, a row per label.

# %%
figure, axes = plt.subplots(4, figsize=(9, 9), sharex=True, layout="constrained")
spectrogram(sound, sr, events=clip.events, ax=axes[0])
axes[0].set(title="recording", xlabel="")
span = (0.0, clip.duration)
for ax, title, values in ((axes[1], "64 mel bands", frames), (axes[2], "20 cepstral coefficients", mfcc.compute(sound)[:, 1:])):
    ax.imshow(values.T, aspect="auto", origin="lower", extent=(*span, 0, values.shape[1]), cmap="magma")
    ax.set_title(title)
one = DataGenerator(
    dataset,
    MelSpectrogram(**{**mel.settings, "sequence_time": None, "mel": mel.mel, "stft": mel.stft, "log": mel.log}),
    folds=[clip],
    train=False,
    target="frame",
)
target = one.get_data()[1][0][0]
shown = np.flatnonzero(target.any(axis=0))
axes[3].imshow(target.T[shown], aspect="auto", extent=(*span, len(shown), 0), cmap="Blues", vmax=1.3)
axes[3].set_yticks(np.arange(len(shown)) + 0.5, [dataset.labels[label] for label in shown])
axes[3].set(title="targets of the frames", xlabel="time, s")
plt.show()
