"""Model containers: one contract for every backend. The classes are in `base`, `torch`, `keras` and `sklearn`; settings in `training`."""

from dcasekit.containers.base import ModelContainer, load
from dcasekit.containers.training import Training

__all__ = ["ModelContainer", "Training", "load"]
