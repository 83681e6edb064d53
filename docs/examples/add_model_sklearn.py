"""A model of your own with scikit-learn: an estimator on statistics of windows over time."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dcasekit.containers.sklearn import SklearnModelContainer


@dataclass(kw_only=True, eq=False)
class ExtraTrees(SklearnModelContainer):
    """Extremely randomised trees on mean, deviation and maximum over the frames of a window.

    Input (windows, frames, dims) of any length, output (windows, labels).

    Parameters
    ----------
    trees : how many.
    """

    estimator: str = "sklearn.ensemble:ExtraTreesClassifier"
    statistics: tuple[str, ...] = ("mean", "std", "max")
    trees: int = 100

    def estimator_parameters(self) -> dict[str, Any]:
        """Give what the estimator is made with."""
        return {"n_estimators": self.trees, **self.parameters}


def check(folder: Path) -> None:
    """Check the contract: what the tests of this page do."""
    from dcasekit import testing

    testing.check_model(
        ExtraTrees(trees=10), shape=(20, 12), labels=("cat", "dog", "hen"), new_process=False
    )
