"""RandomForest: trees on statistics of the frames."""

from dataclasses import dataclass
from typing import Any

from dcasekit.containers.sklearn import SklearnModelContainer


@dataclass(kw_only=True, eq=False)
class RandomForest(SklearnModelContainer):
    """Random forest on mean and deviation of each dimension over the frames of a window.

    L. Breiman, "Random Forests", Machine Learning 45, 2001, in scikit-learn's form: answers are the mean of the trees' leaves.

    Input (windows, frames, dims) of any length, output (windows, labels). See `SklearnModelContainer` for the other settings.

    Parameters
    ----------
    n_estimators : trees.
    max_depth : of each; ``None``: until the leaves are pure.
    min_samples_leaf : windows in a leaf, at least.
    """

    estimator: str = "sklearn.ensemble:RandomForestClassifier"
    standardise: bool = False
    n_estimators: int = 100
    max_depth: int | None = None
    min_samples_leaf: int = 1

    def estimator_parameters(self) -> dict[str, Any]:
        """Return what the estimator's constructor is called with."""
        own = {"n_estimators": self.n_estimators, "max_depth": self.max_depth, "min_samples_leaf": self.min_samples_leaf}
        return {**own, **self.parameters}
