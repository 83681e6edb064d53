"""Model containers: one contract for every backend.

The classes are in `base`, `torch`, `keras` and `sklearn`; settings in `training`, with `schedules`, `objectives` and `stopping`.
"""

from dcasekit.containers.base import ModelContainer, load
from dcasekit.containers.heads import Head
from dcasekit.containers.training import Training

__all__ = ["Head", "ModelContainer", "Training", "load"]
