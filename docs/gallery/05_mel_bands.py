"""
Two kinds of mel bands
======================

"64 mel bands" is not one front end: HTK and Slaney place the bands differently, and a norm changes their heights.
"""

import numpy as np
from matplotlib import pyplot as plt

from dcasekit.features import STFT, Mel, MelSpectrogram

sr, n_fft = 16000, 2048

# %%
# The response of each band to a pure tone that rises slowly shows where it listens.

tone = np.sin(2 * np.pi * np.cumsum(np.linspace(50, 4000, 20 * sr)) / sr).astype(np.float32)
figure, axes = plt.subplots(3, 1, figsize=(9, 7), layout="constrained", sharex=True)
kinds = {
    "HTK": Mel(bands=12, scale="htk", norm=None, fmax=4000.0),
    "Slaney": Mel(bands=12, scale="slaney", norm=None, fmax=4000.0),
    "Slaney, equal areas": Mel(bands=12, scale="slaney", norm="slaney", fmax=4000.0),
}
for ax, (name, mel) in zip(axes, kinds.items(), strict=True):
    feature = MelSpectrogram(
        sr=sr, audio_win=n_fft, audio_hop=400, mel=mel, log=None, stft=STFT(n_fft=n_fft)
    )
    frames = feature.compute(tone)
    ax.plot(np.linspace(50, 4000, len(frames)), frames / frames.max())
    ax.set(title=name, ylabel="response", xlim=(0, 4000))
axes[-1].set_xlabel("frequency of the tone, Hz")
plt.show()
