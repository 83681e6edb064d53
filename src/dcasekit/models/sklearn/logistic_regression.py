"""LogisticRegression: a linear model on statistics of the frames."""

from dataclasses import dataclass
from typing import Any

from dcasekit.containers.sklearn import SklearnModelContainer


@dataclass(kw_only=True, eq=False)
class LogisticRegression(SklearnModelContainer):
    """Logistic regression with an L2 penalty on mean and deviation of each dimension over the frames of a window.

    A softmax of all labels for classification, a sigmoid per label else. On embeddings it is the usual linear probe.

    Input (windows, frames, dims) of any length, output (windows, labels). See `SklearnModelContainer` for the other settings.

    Parameters
    ----------
    C : inverse of the penalty's weight; smaller: simpler models.
    max_iter : of the optimizer, at most; a warning says if it was not enough.
    """

    estimator: str = "sklearn.linear_model:LogisticRegression"
    C: float = 1.0
    max_iter: int = 1000

    def estimator_parameters(self) -> dict[str, Any]:
        """Return what the estimator's constructor is called with."""
        return {"C": self.C, "max_iter": self.max_iter, **self.parameters}
