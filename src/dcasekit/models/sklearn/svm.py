"""SVM: a support vector machine on statistics of the frames."""

from dataclasses import dataclass
from typing import Any, Literal

from dcasekit.containers.sklearn import SklearnModelContainer


@dataclass(kw_only=True, eq=False)
class SVM(SklearnModelContainer):
    """Support vector machine on mean and deviation of each dimension over the frames of a window.

    C. Cortes, V. Vapnik, "Support-Vector Networks", Machine Learning 20, 1995; for classification one machine per pair of labels, which
    vote. The answers order the labels and are cut at 0.5 as the machine decides, but are no calibrated probabilities.

    Input (windows, frames, dims) of any length, output (windows, labels). See `SklearnModelContainer` for the other settings. Training
    takes time in the square of the number of windows: beyond some ten thousand use `LogisticRegression`.

    Parameters
    ----------
    C : weight of windows on the wrong side; smaller: wider margins.
    kernel, gamma : of the kernel, and its width; ``"scale"``: 1 / (dims * variance), ``"auto"``: 1 / dims.
    """

    estimator: str = "sklearn.svm:SVC"
    C: float = 1.0
    kernel: Literal["rbf", "linear", "poly", "sigmoid"] = "rbf"
    gamma: Literal["scale", "auto"] | float = "scale"

    def estimator_parameters(self) -> dict[str, Any]:
        """Return what the estimator's constructor is called with."""
        return {"C": self.C, "kernel": self.kernel, "gamma": self.gamma, **self.parameters}
