"""NearestNeighbours: the labels of the clips that are most alike."""

from dataclasses import dataclass
from typing import Any

from dcasekit.containers.sklearn import SklearnModelContainer


@dataclass(kw_only=True, eq=False)
class NearestNeighbours(SklearnModelContainer):
    """Vote of the k nearest training windows, by mean and standard deviation of each dimension over the frames of a window.

    T. Cover, P. Hart, "Nearest Neighbor Pattern Classification", IEEE Transactions on Information Theory 13(1), 1967. Distances are
    Euclidean, after each statistic is standardised. The statistics of the training windows are stored in the model and saved with it:
    share it only if you may share them.

    Input (windows, frames, dims) of any length, output (windows, labels). See `SklearnModelContainer` for the other settings.

    Parameters
    ----------
    n_neighbors : number of windows that vote; all of them if there are fewer.
    """

    estimator: str = "sklearn.neighbors:KNeighborsClassifier"
    n_neighbors: int = 5

    def estimator_parameters(self) -> dict[str, Any]:
        """Return the keyword arguments of the estimator."""
        return {"n_neighbors": self.n_neighbors, **self.parameters}
