# %% [markdown]
# # DCASE 2018 task 4: from weak labels to events
#
# The baseline of the challenge learns, in a first pass, the tags of clips whose times nobody noted; what it says of unlabelled clips
# teaches a second network, in every frame. Events are counted as found if they begin and end about where they should: 14.7 % macro F1 on
# the test set. Here the recipe `dcase2018_task4` runs; without the data in `DCASEKIT_DATA` on synthetic sounds, small. Whether the second
# pass pays is asked in `two_pass.py`.
#
# Open it in Jupyter: `jupytext --to ipynb notebooks/dcase2018_task4.py`.

# %%
import os
from dataclasses import replace
from pathlib import Path

from matplotlib import pyplot as plt

from dcasekit import audio, to_events
from dcasekit.plots import label_bars, spectrogram, timeline
from dcasekit.recipes import dcase2018_task4 as recipe

QUICK = bool(os.environ.get("DCASEKIT_QUICK"))  # as the tests run it: two epochs a pass, tiny networks
OUT = Path("runs/dcase2018_task4")
FOLDER = Path(os.environ.get("DCASEKIT_DATA", "data")) / recipe.DATASETS[0]
data = {recipe.DATASETS[0]: FOLDER} if FOLDER.exists() else {}
config = recipe.Config() if data else recipe.QUICK
if QUICK:
    config, data = replace(recipe.QUICK, epochs=2, delay=0, filters=(4, 4, 4), units=4, clips=80), {}

# %%
report = recipe.run(config, data, OUT, progress=True)
section = report.sections[0]
for name, value in section.measures.items():
    print(f"{name}: {value:.3f}")
for name, published in section.published.items():
    print(f"{name}: {published.value:.3f} ({published.differs})")

# %% [markdown]
# ## Seen
#
# The test clip in which most is right: its sound with the true events, and below them what was found. A bar is right only if both its ends
# are near those of the bar above it.

# %%
results = section.folds["test"]
found = {clip: to_events(scores, inclusive=True) for clip, scores in zip(results.clips, results.scores, strict=True)}


def overlap(clip):
    """Give the seconds in which a true event and a found one of its label sound together, less those in which one does alone."""
    both = sum(
        max(0.0, min(one.offset, other.offset) - max(one.onset, other.onset))
        for one in results.events[clip]
        for other in found[clip]
        if one.label == other.label
    )
    return 3 * both - sum(event.offset - event.onset for event in (*results.events[clip], *found[clip]))


best = max(results.clips, key=overlap)
sound, sr = audio.read(results.paths[results.clips.index(best)])
figure, axes = plt.subplots(3, 1, figsize=(9, 8), layout="constrained", height_ratios=(2, 1.2, 1.2))
spectrogram(sound, sr, events=results.events[best], ax=axes[0])
axes[0].set_title(best)
timeline(results.events[best], found[best], duration=len(sound) / sr, ax=axes[1])
passes = {"first pass": section.measures["event_f1_first_pass"], "second pass": section.measures["event_f1"]}
label_bars(passes, intervals={"second pass": section.intervals["event_f1"]}, name="event-based macro F1, test", ax=axes[2])
plt.show()
