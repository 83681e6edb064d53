# %% [markdown]
# # Does a mean teacher pay?
#
# Few clips have times, some have labels without times, most have nothing. A mean teacher learns from all of them: its loss counts where
# something is known, and everywhere its answers are to agree with those of a second network, the running average of itself (Tarvainen and
# Valpola 2017). Here it finds events in soundscapes mixed from real sounds (ESC-10), beside supervised training on the same clips with
# times, alone and with the weakly labelled ones. In three rounds, with a seed each, other sounds are labelled, unlabelled and tested.
#
# Open it in Jupyter: `jupytext --to ipynb notebooks/mean_teacher.py`.

# %%
import os
from dataclasses import replace
from functools import partial
from pathlib import Path

from matplotlib import pyplot as plt

from dcasekit import DataGenerator, Results, Scaler, to_events
from dcasekit.containers.objectives import mean_teacher
from dcasekit.datasets import ESC10, Mixing, Soundscapes
from dcasekit.features import MelSpectrogram
from dcasekit.generator import Together
from dcasekit.models import CRNN2018
from dcasekit.plots import label_bars, timeline
from dcasekit.testing import make_dataset

QUICK = bool(os.environ.get("DCASEKIT_QUICK"))  # as the tests run it: small, on synthetic sounds; it shows nothing but that all works
DATA = os.environ.get("DCASEKIT_DATA", "data")  # a folder that holds ESC-10
OUT = Path("runs/mean_teacher")
SEEDS = (0, 1, 2)
CLIPS, SECONDS, STEPS, EPOCHS, FILTERS = (30, 2.0, 1, 1, (4, 4, 4)) if QUICK else (540, 5.0, 15, 40, (16, 16, 32))
STRONG = CLIPS // 9  # clips whose times are known, and as many whose labels alone are
BATCHES = (2, 2, 2) if QUICK else (8, 8, 12)
ARMS = ("strong", "strong and weak", "mean teacher")

# %% [markdown]
# ## Sounds
#
# Soundscapes of a fold hold the sounds of that fold alone. The features are those of the DCASE 2018 baseline, at a lower rate.

# %%
esc10 = make_dataset("esc10", OUT / "made", clips=60, seconds=SECONDS) if QUICK else ESC10(Path(DATA) / "ESC-10", cache=OUT / "cache")
mixing = Mixing(events=(1, 3), sr=16000)
sounds = Soundscapes(OUT / "soundscapes", foreground=esc10, clips=CLIPS, seconds=SECONDS, mixing=mixing)
sounds.download()
features = MelSpectrogram.preset(
    "dcase2018_task4", sr=16000, audio_win=1280, audio_hop=640, sequence_time=SECONDS, sequence_hop_time=SECONDS
)
features.extract(sounds)
FOLDS = sounds.present_folds[:3]


# %% [markdown]
# ## Three ways to learn
#
# Clips with times come from one fold, weak and unlabelled ones from another, the third is tested: neither its sounds nor its soundscapes
# are ever trained on. Every way takes as many steps; the last, averaged weights are tested: none are chosen, and no setting was
# changed after a look at results.


# %%
def learn(seed, arm):
    """Train one way, and answer the test fold."""
    labelled, other, test = (sounds.select([FOLDS[(seed + part) % 3]]) for part in range(3))
    weak = [replace(clip, events=None) for clip in other[:STRONG]]
    unlabelled = [replace(clip, events=None, tags=None) for clip in other[STRONG:]]
    clips = [*labelled[:STRONG], *weak, *unlabelled]
    data = partial(DataGenerator, sounds, features, scaler=Scaler("standard").fit(DataGenerator(sounds, features, folds=clips)))
    parts = {
        "strong": (data(folds=labelled[:STRONG], target="frame"), BATCHES[0]),
        "weak": (data(folds=weak, target="clip"), BATCHES[1]),
        "unlabelled": (data(folds=unlabelled, target="frame"), BATCHES[2]),
    }
    used = list(parts.items())[: 1 + ARMS.index(arm)]
    agree = partial(mean_teacher, weight=2.0, ramp_epochs=EPOCHS / 2, noise=0.3)
    model = CRNN2018(filters=FILTERS, units=2 * FILTERS[0])
    model.train(
        Together(dict(used), steps=STEPS),
        objective=agree if arm == "mean teacher" else "supervised",
        epochs=EPOCHS,
        learning_rate=3e-3,
        schedule="one_cycle",
        average=0.99,
        seed=seed,
        device="cpu",
        resume=OUT / "checkpoints" / f"{arm} {seed}",
    )
    return model.evaluate(data(folds=test, train=False))


rounds = {arm: [learn(seed, arm) for seed in SEEDS] for arm in ARMS}

# %% [markdown]
# ## What came out
#
# F1 in segments of 1 s, micro-averaged, threshold 0.5. Intervals of differences are paired: both systems on the same soundscapes. They
# speak of the choice of soundscapes, not of that of seeds or of the sounds in them.
#
# **It did not pay.** From 60 soundscapes with times F1 is 0.339 (rounds 0.390, 0.284, 0.339), with 60 weakly labelled ones 0.464 (0.470,
# 0.466, 0.456), with those and 120 unlabelled ones under a mean teacher 0.338 (0.367, 0.351, 0.299). The mean teacher's gain over the
# clips with times alone is -0.000 (-0.029 to +0.028), in one round +0.067 (+0.015 to +0.115), in two none; beside supervised training
# on the weak clips as well it loses 0.126 (0.101 to 0.155). So the gain there is comes from weak labels. Training is short: 600 steps,
# where the published one has 23,600. Weight, ramp and noise are a sketch's, not tuned. Tried afterwards, in the first round alone: without
# agreement (weight 0, no noise) the objective gives 0.424, with a little (0.5, no noise) 0.432, as above 0.367, and supervised training
# 0.470. So part of the loss is agreement that weighs too much too early, or the noise; another comes before any agreement, where the
# objective differs by answering all parts in one pass, whose batch statistics the unlabelled windows share.

# %%
pooled = {arm: Results.pool(results) for arm, results in rounds.items()}
for arm in ARMS:
    each = " ".join(f"{results.numbers['f1/micro']:.3f}" for results in rounds[arm])
    tags = pooled[arm].numbers["clip/average_precision/macro"]
    print(f"{arm}: F1 {pooled[arm].numbers['f1/micro']:.3f} (rounds {each}), mAP of the clips' tags {tags:.3f}")
for other in ARMS[:2]:
    for seed, ours, theirs in zip(SEEDS, rounds["mean teacher"], rounds[other], strict=True):
        gain = ours.compare(theirs)
        print(f"mean teacher minus {other}, seed {seed}: {gain.difference:+.3f} ({gain.interval[0]:+.3f} to {gain.interval[1]:+.3f})")
    gain = pooled["mean teacher"].compare(pooled[other])
    print(f"mean teacher minus {other}, all: {gain.difference:+.3f} ({gain.interval[0]:+.3f} to {gain.interval[1]:+.3f}), p {gain.p:.3f}")

# %% [markdown]
# ## Seen
#
# All rounds together, and what two of the networks find in one soundscape of middling difficulty.

# %%
figure, axes = plt.subplots(1, 3, figsize=(15, 4), layout="constrained")
f1 = {arm: results.numbers["f1/micro"] for arm, results in pooled.items()}
label_bars(f1, intervals={arm: results.interval for arm, results in pooled.items()}, name="F1 in segments of 1 s", ax=axes[0])
example = pooled["mean teacher"].examples(5)[3]
for ax, arm in zip(axes[1:], ("strong", "mean teacher"), strict=True):
    results = pooled[arm]
    scores = results.scores[results.clips.index(example.clip)]
    timeline(example.reference, to_events(scores), duration=SECONDS, ax=ax)
    ax.set_title(f"reference above, {arm} below")
plt.show()
