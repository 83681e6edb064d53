"""
Export, and run in onnxruntime
==============================

A trained model becomes one file that takes a waveform and gives scores, the front end inside. Running it needs NumPy and onnxruntime alone.
"""

import json
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
from matplotlib import pyplot as plt

from dcasekit import audio, export, load
from dcasekit.datasets import SyntheticSounds

folder = Path(tempfile.gettempdir()) / "dcasekit-gallery"
dataset = SyntheticSounds(folder / "events", task="detection", clips=40, seed=7)
dataset.download()
model = load("quickstart_events")
path = export.onnx(model, folder / "events.onnx")
print(f"{path.stat().st_size / 1000:.0f} kB")

# %%
# From here on dcasekit is needed for reading the file only.

session = onnxruntime.InferenceSession(path)
about = {
    name: json.loads(text) for name, text in session.get_modelmeta().custom_metadata_map.items()
}
clip = max(dataset.clips, key=lambda clip: len(clip.events))
sound, _ = audio.read(clip.path, sr=about["sr"])
(scores,) = session.run(None, {"waveform": sound[np.newaxis]})
own = model.predict([clip.path])[0].values
print("largest difference from the model's own scores:", float(np.abs(scores[0] - own).max()))

# %%
figure, axes = plt.subplots(2, 1, figsize=(9, 6), layout="constrained", sharex=True)
for ax, (name, values) in zip(
    axes, {"onnxruntime": scores[0], "dcasekit": own}.items(), strict=True
):
    ax.imshow(
        values.T,
        aspect="auto",
        cmap="Blues",
        extent=(0, clip.duration, len(about["labels"]), 0),
        vmin=0,
        vmax=1,
    )
    ax.set_yticks([n + 0.5 for n in range(len(about["labels"]))], about["labels"])
    ax.set_title(name)
axes[1].set_xlabel("time, s")
plt.show()
