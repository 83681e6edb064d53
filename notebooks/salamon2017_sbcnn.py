# %% [markdown]
# # Salamon and Bello 2017: does augmentation help, and which sounds?
#
# SB-CNN, three convolutions on patches of 3 s, learned the ten sounds of UrbanSound8K; with copies of the clips, stretched, shifted and
# with noise, it did better: 79 % of the clips instead of 73 %. The paper's last figure asks which classes gain, and which lose. Here the
# recipe `salamon2017_sbcnn` runs; without the data in `DCASEKIT_DATA` on synthetic sounds, small.
#
# Open it in Jupyter: `jupytext --to ipynb notebooks/salamon2017_sbcnn.py`.

# %%
import os
from dataclasses import replace
from pathlib import Path

from matplotlib import pyplot as plt

from dcasekit.plots import confusion_matrix
from dcasekit.recipes import salamon2017_sbcnn as recipe
from dcasekit.testing import make_dataset

QUICK = bool(os.environ.get("DCASEKIT_QUICK"))  # as the tests run it: one fold, two epochs
OUT = Path("runs/salamon2017_sbcnn")
FOLDER = Path(os.environ.get("DCASEKIT_DATA", "data")) / recipe.DATASETS[0]
data = {recipe.DATASETS[0]: FOLDER} if FOLDER.exists() else {}
config = recipe.Config() if data else recipe.QUICK
if QUICK:
    config = replace(recipe.QUICK, folds=1, epochs=2, filters=(4, 4, 4), stretches=())
    data = {recipe.DATASETS[0]: make_dataset(recipe.DATASETS[0], OUT / "made", clips=40, seconds=0.6, sr=22050).root}

# %%
report = recipe.run(config, data, OUT, progress=True)
without, augmented = (section.pooled for section in report.sections)
for section in report.sections:
    print(f"{section.name}: accuracy {section.pooled.numbers['accuracy']:.3f}")
for name, published in report.sections[0].published.items():
    print(f"{name}: {published.value:.3f} ({published.differs})")

# %% [markdown]
# ## Seen
#
# As the paper's last figure: what is taken for what with augmentation, and how many clips of each sound it gains (blue) or loses (orange).

# %%
change = augmented.confusion - without.confusion
figure, axes = plt.subplots(1, 2, figsize=(14, 6), layout="constrained", width_ratios=(1.3, 1))
confusion_matrix(augmented.confusion, augmented.labels, ax=axes[0])
axes[0].set_title("with augmentation")
gains = {label: change[at, at] for at, label in enumerate(augmented.labels)}
axes[1].barh(list(gains), list(gains.values()), color=["tab:blue" if gain >= 0 else "tab:orange" for gain in gains.values()])
axes[1].invert_yaxis()
axes[1].axvline(0, color="gray", linewidth=0.8)
axes[1].set(title="gain by augmentation", xlabel="clips")
plt.show()
