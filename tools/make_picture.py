"""Draw README's picture: a recording, what sounds in it, and what a trained network finds. Give the file to write."""

import io
import sys
import tempfile
from pathlib import Path

from matplotlib import pyplot as plt
from PIL import Image

from dcasekit import audio, load, to_events
from dcasekit.core.files import replacing
from dcasekit.datasets import SyntheticSounds
from dcasekit.plots import spectrogram, timeline
from dcasekit.scores import median_filter

CLIP = "clip00022"  # F1 0.67, about what the network has on all clips


def draw(path: Path) -> None:
    """Write the picture, with few colours: it is to be small."""
    with tempfile.TemporaryDirectory() as folder:
        dataset = SyntheticSounds(folder, task="detection", clips=40, seed=7)  # the network has learned seed 0
        dataset.download()
        clip = next(clip for clip in dataset.clips if clip.id == CLIP)
        sound, sr = audio.read(clip.path)
        (scores,) = load("quickstart_events").predict([clip.path])
    found = to_events(median_filter(scores, frames=3, pad="reflect"))
    figure, (above, below) = plt.subplots(2, 1, figsize=(9, 5), layout="constrained", height_ratios=(3, 2), sharex=True)
    spectrogram(sound, sr, events=clip.events, ax=above)
    timeline(clip.events, found, duration=clip.duration, ax=below)
    above.set(xlabel="", title="A recording and what sounds in it")
    below.set_title("What sounds (blue), and what a network that comes with dcasekit finds (orange)")
    memory = io.BytesIO()
    figure.savefig(memory, dpi=100, format="png")
    with replacing(path) as temporary:
        Image.open(memory).convert("RGB").quantize(160).save(temporary, format="png", optimize=True)


if __name__ == "__main__":
    draw(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/_static/detection.png"))
