"""RandomForest: trees on statistics of the frames."""

from dataclasses import dataclass
from typing import Any

from dcasekit.containers.sklearn import SklearnModelContainer


@dataclass(kw_only=True, eq=False)
class RandomForest(SklearnModelContainer):
    """Random forest on mean and standard deviation of each dimension over the frames of a window.

    L. Breiman, "Random Forests", Machine Learning 45, 2001, as in scikit-learn: probabilities are averaged over the trees.

    Input (windows, frames, dims) of any length, output (windows, labels). See `SklearnModelContainer` for the other settings.

    Parameters
    ----------
    n_estimators : number of trees.
    max_depth : largest depth of a tree; ``None``: trees grow until their leaves are pure.
    min_samples_leaf : smallest number of training windows in a leaf.
    """

    estimator: str = "sklearn.ensemble:RandomForestClassifier"
    standardise: bool = False
    n_estimators: int = 100
    max_depth: int | None = None
    min_samples_leaf: int = 1

    def estimator_parameters(self) -> dict[str, Any]:
        """Return the keyword arguments of the estimator."""
        own = {"n_estimators": self.n_estimators, "max_depth": self.max_depth, "min_samples_leaf": self.min_samples_leaf}
        return {**own, **self.parameters}
