"""Pictures of results and sounds by matplotlib, for notebooks (``ax=``) and for the pages of a report (`to_svg`).

Every function draws on the axes given, or on a figure of its own, and gives the axes back:

>>> from matplotlib.figure import Figure
>>> from dcasekit import plots
>>> ax = plots.label_bars({"dog": 0.9, "cat": float("nan")}, name="F1", ax=Figure().subplots())
>>> ax.get_xlabel()
'F1'

``ax.figure.savefig("f1.svg")`` keeps a figure. Text takes its colour and size from your matplotlib style; blue is right, or the reference,
orange is wrong, or the estimate: the two can be told apart by the colour-blind.
"""

from dcasekit.plots.evaluation import confusion_matrix, label_bars, psd_roc, reliability
from dcasekit.plots.looks import Look, looks
from dcasekit.plots.picture import Picture, picture
from dcasekit.plots.recording import recording, score_map
from dcasekit.plots.sound import spectrogram, timeline
from dcasekit.plots.svg import to_svg
from dcasekit.plots.training import learning_curves

__all__ = [
    "Look",
    "Picture",
    "confusion_matrix",
    "label_bars",
    "learning_curves",
    "looks",
    "picture",
    "psd_roc",
    "recording",
    "reliability",
    "score_map",
    "spectrogram",
    "timeline",
    "to_svg",
]
