"""Models whose answers are levels, not labels; the same for every backend."""

from typing import Any

from dcasekit.containers.base import ModelContainer
from dcasekit.core.units import FloatArray
from dcasekit.errors import ModelError
from dcasekit.results import Results


class LevelsModel(ModelContainer):
    """A model whose answers are levels of mel bands, (windows, frames, bands): a regression, learned by the squared error.

    It stands before the container of a backend: ``class SMel(LevelsModel, TorchModelContainer)``.
    """

    def answer(self, windows: FloatArray) -> FloatArray:
        """Answer windows with levels, as they are."""
        return self._outputs(windows)

    def evaluate(self, data: Any) -> Results:
        """Refuse: the metrics are those of labels."""
        raise ModelError(
            f"{type(self).__name__} outputs levels, not labels, so there is no metric: compare answer(X) with Y, and train without "
            "validation data"
        )
