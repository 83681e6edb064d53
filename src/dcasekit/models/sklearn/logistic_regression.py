"""LogisticRegression: a linear model on statistics of the frames."""

from dataclasses import dataclass
from typing import Any

from dcasekit.containers.sklearn import SklearnModelContainer


@dataclass(kw_only=True, eq=False)
class LogisticRegression(SklearnModelContainer):
    """Logistic regression with an L2 penalty, on mean and standard deviation of each dimension over the frames of a window.

    For classification it has one softmax over all labels, else a sigmoid per label. On embeddings it is the usual linear probe.

    Input (windows, frames, dims) of any length, output (windows, labels). See `SklearnModelContainer` for the other settings.

    Parameters
    ----------
    C : inverse of the weight of the penalty, above 0; smaller values make simpler models.
    max_iter : largest number of iterations of the optimizer; scikit-learn warns if it was not enough.
    """

    estimator: str = "sklearn.linear_model:LogisticRegression"
    C: float = 1.0
    max_iter: int = 1000

    def estimator_parameters(self) -> dict[str, Any]:
        """Return the keyword arguments of the estimator."""
        return {"C": self.C, "max_iter": self.max_iter, **self.parameters}
