"""NearestNeighbours: the labels of the clips that are most alike."""

from dataclasses import dataclass
from typing import Any

from dcasekit.containers.sklearn import SklearnModelContainer


@dataclass(kw_only=True, eq=False)
class NearestNeighbours(SklearnModelContainer):
    """The k nearest neighbours by mean and deviation of each dimension over the frames of a window: each of them votes for its labels.

    T. Cover, P. Hart, "Nearest Neighbor Pattern Classification", IEEE Transactions on Information Theory 13(1), 1967. Distances are
    Euclidean, after each statistic was brought to deviation 1. Nothing is learned but the training windows themselves, which are saved
    with the model: share it only where you may share them.

    Input (windows, frames, dims) of any length, output (windows, labels). See `SklearnModelContainer` for the other settings.

    Parameters
    ----------
    n_neighbors : windows that vote; all of them, if there are fewer.
    """

    estimator: str = "sklearn.neighbors:KNeighborsClassifier"
    n_neighbors: int = 5

    def estimator_parameters(self) -> dict[str, Any]:
        """Return what the estimator's constructor is called with."""
        return {"n_neighbors": self.n_neighbors, **self.parameters}
