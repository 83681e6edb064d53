"""SVM: a support vector machine on statistics of the frames."""

from dataclasses import dataclass
from typing import Any, Literal

from dcasekit.containers.sklearn import SklearnModelContainer


@dataclass(kw_only=True, eq=False)
class SVM(SklearnModelContainer):
    """Support vector machine on mean and standard deviation of each dimension over the frames of a window.

    C. Cortes, V. Vapnik, "Support-Vector Networks", Machine Learning 20, 1995; for classification there is one machine per pair of labels,
    and they vote. The answers agree with the machine's decisions (order of the labels; above or below 0.5), but are not calibrated
    probabilities.

    Input (windows, frames, dims) of any length, output (windows, labels). See `SklearnModelContainer` for the other settings. Training
    takes time in the square of the number of windows: beyond some ten thousand use `LogisticRegression`.

    Parameters
    ----------
    C : weight of training windows on the wrong side of the margin, above 0; smaller values make wider margins.
    kernel : kind of the kernel.
    gamma : coefficient of the kernel (not of ``"linear"``): a number, ``"scale"``: 1 / (statistics * variance), or ``"auto"``: 1 /
        statistics, where statistics is the number of values per window.
    """

    estimator: str = "sklearn.svm:SVC"
    C: float = 1.0
    kernel: Literal["rbf", "linear", "poly", "sigmoid"] = "rbf"
    gamma: Literal["scale", "auto"] | float = "scale"

    def estimator_parameters(self) -> dict[str, Any]:
        """Return the keyword arguments of the estimator."""
        return {"C": self.C, "kernel": self.kernel, "gamma": self.gamma, **self.parameters}
