"""Models whose answers are levels, not labels; the same for every backend."""

from typing import Any

from dcasekit.containers.base import ModelContainer
from dcasekit.core.units import FloatArray
from dcasekit.errors import ModelError
from dcasekit.results import Results


class LevelsModel(ModelContainer):
    """A model that outputs levels of mel bands (windows, frames, bands) instead of scores: a regression, trained with the squared error.

    Name it before the container of a backend among the base classes: ``class SMel(LevelsModel, TorchModelContainer)``.
    """

    def answer(self, windows: FloatArray) -> FloatArray:
        """Return the network's outputs for windows (windows, frames, dims), unchanged: levels (windows, frames, bands)."""
        return self._outputs(windows)

    def evaluate(self, data: Any) -> Results:
        """Raise ModelError: all metrics are for labels, and levels have none."""
        raise ModelError(
            f"{type(self).__name__} outputs levels, not labels, so there is no metric: compare answer(X) with Y, and train without "
            "validation data"
        )
