"""The scaler: a rescaling learned from training data, exact when streamed, and undone without loss."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias, cast

import numpy as np

from dcasekit.core.files import read_json, write_json
from dcasekit.core.units import FloatArray, PathLike
from dcasekit.errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NORMALIZERS = ("standard", "minmax", "window", "window_minmax")

# The published floors of what a window is divided by.
LEAST_DEVIATION, LEAST_RANGE = 1e-3, 1e-8


Normalizer: TypeAlias = Literal["standard", "minmax", "window", "window_minmax"]


class Scaler:
    """Rescale the values of features.

    Parameters
    ----------
    normalizer : ``"standard"`` and ``"minmax"`` are learned from training data and can be undone; constant values become 0. The other two
        rescale each window by its own values: there is nothing to fit, and they cannot be undone.

        - ``"standard"`` (default): each dimension to mean 0 and standard deviation 1 (with n, not n - 1, in the denominator).
        - ``"minmax"``: all dimensions by one common minimum and maximum to [-1, 1], as in the DCASE-models paper.
        - ``"window"``: each dimension to mean 0 and standard deviation 1 (with n - 1) over the window's frames; a deviation below 0.001
          counts as 0.001 (as in DcaseNet).
        - ``"window_minmax"``: all values of a window by its minimum and maximum to [0, 1] (as in the DCASE 2023 task 4A baseline).

    Raises
    ------
    ModelError : `normalizer` is none of these.

    Examples
    --------
    >>> scaler = Scaler("minmax").fit(np.array([[0.0], [5.0], [10.0]]))
    >>> scaler.transform(np.array([[10.0]])).tolist()
    [[1.0]]
    >>> Scaler("window").transform(np.array([[[0.0], [1.0], [2.0]]])).ravel().tolist()
    [-1.0, 0.0, 1.0]
    """

    def __init__(self, normalizer: Normalizer = "standard") -> None:
        if normalizer not in _NORMALIZERS:
            raise ModelError(f"normalizer must be one of {', '.join(map(repr, _NORMALIZERS))}; got {normalizer!r}")
        self.normalizer = normalizer
        self._count = 0
        self._mean: NDArray[np.float64] = np.zeros(0)
        self._squares: NDArray[np.float64] = np.zeros(0)  # sum of squared distances from the mean
        self._low, self._high = np.inf, -np.inf

    def __repr__(self) -> str:
        """Tell what is learned, and of how many dims and values of each."""
        fitted = "" if self.per_window else f", fitted on {self._count} x {len(self._mean)} values" if self._count else ", not fitted"
        return f"{type(self).__name__}({self.normalizer!r}{fitted})"

    @property
    def per_window(self) -> bool:
        """Whether each window is rescaled by its own values, so that there is nothing to fit."""
        return self.normalizer.startswith("window")

    def fit(self, data: Any) -> Self:
        """Learn from training data; what was learned before is forgotten.

        Parameters
        ----------
        data : an array (..., dims), a list of such arrays, or a `DataGenerator`. A generator is read clip by clip, so that its data need
            not fit into memory, and frames that were filled up are left out.

        Raises
        ------
        ModelError : the data are empty, not finite, or of different numbers of dims.
        """
        if self.per_window:
            return self
        self.__init__(self.normalizer)  # type: ignore[misc]
        for array in _arrays(data):
            self.partial_fit(array)
        if not self._count:
            raise ModelError("there is nothing to fit the scaler on: the data is empty")
        return self

    def partial_fit(self, array: FloatArray) -> Self:
        """Learn from one more array (..., dims), beside those before; their order and lengths do not matter (Chan et al. 1979).

        Raises
        ------
        ModelError : values are not finite, or the number of dims is another than before.
        """
        if self.per_window:
            return self
        rows = np.asarray(array, dtype=np.float64).reshape(-1, np.shape(array)[-1])
        if self._count and rows.shape[1] != len(self._mean):
            raise ModelError(f"the scaler was fitted on {len(self._mean)} dims; got an array of shape {np.shape(array)}")
        if not len(rows):
            return self
        if not np.isfinite(rows).all():
            raise ModelError("the scaler can only be fitted on finite values; the data hold NaN or infinity")
        mean = rows.mean(axis=0)
        squares = np.square(rows - mean).sum(axis=0)
        if self._count:
            total = self._count + len(rows)
            delta = mean - self._mean
            squares = self._squares + squares + delta**2 * (self._count * len(rows) / total)
            mean = self._mean + delta * (len(rows) / total)
        self._count, self._mean, self._squares = self._count + len(rows), mean, squares
        self._low, self._high = min(self._low, float(rows.min())), max(self._high, float(rows.max()))
        return self

    def transform(self, data: Any) -> Any:
        """Return a rescaled copy, float32: an array for an array (..., dims), a list for a list of arrays.

        If each window is rescaled by its own values, the last two axes are its frames and dims; frames that were filled up count, too.

        Raises
        ------
        ModelError : the scaler is not fitted, or the shape is not the one it was fitted on.
        """
        if isinstance(data, list | tuple):
            return [self.transform(array) for array in data]
        if self.per_window:
            return _scale_windows(np.asarray(data), self.normalizer)
        offset, scale = self._parameters(np.shape(data))
        return ((np.asarray(data) - offset) / scale).astype(np.float32)

    def inverse_transform(self, data: Any) -> Any:
        """Undo `transform`; dimensions that were constant get their constant back.

        Raises
        ------
        ModelError : the scaler is not fitted, cannot be undone (see `per_window`), or was fitted on another number of dims.
        """
        if self.per_window:
            raise ModelError(
                f"Scaler({self.normalizer!r}) cannot be inverted, as it does not keep the statistics of each window; keep the originals"
            )
        if isinstance(data, list | tuple):
            return [self.inverse_transform(array) for array in data]
        offset, scale = self._parameters(np.shape(data))
        return (np.asarray(data) * scale + offset).astype(np.float32)

    def save(self, path: PathLike) -> Path:
        """Write the scaler as JSON."""
        return write_json(path, self.to_dict())

    @classmethod
    def load(cls, path: PathLike) -> Self:
        """Read a scaler that `save` wrote.

        Raises
        ------
        ModelError : the file is missing, or is not what `save` wrote.
        """
        values = read_json(path, error=ModelError)
        try:
            return cls.from_dict(values)
        except ModelError as error:
            raise ModelError(f"{path}: {error}") from error

    def to_dict(self) -> dict[str, Any]:
        """Return the scaler as JSON values, from which `from_dict` makes it again."""
        if self.per_window:
            return {"normalizer": self.normalizer}
        self._parameters(self._mean.shape)
        return {
            "normalizer": self.normalizer,
            "count": self._count,
            "mean": self._mean.tolist(),
            "squares": self._squares.tolist(),
            "low": self._low,
            "high": self._high,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Make a scaler from what `to_dict` returned.

        Raises
        ------
        ModelError : the values are not what `to_dict` returns.
        """
        try:
            scaler = cls(values["normalizer"])
            if scaler.per_window:
                return scaler
            scaler._count, scaler._low, scaler._high = int(values["count"]), float(values["low"]), float(values["high"])
            scaler._mean, scaler._squares = (np.array(values[name], np.float64, ndmin=1) for name in ("mean", "squares"))
            finite = np.isfinite([*scaler._mean, *scaler._squares, scaler._low, scaler._high]).all()
            if not (finite and 0 < scaler._count < 1 << 63 and scaler._mean.shape == scaler._squares.shape == (scaler._mean.size,)):
                raise ValueError("numbers are missing, or not finite")
        except (LookupError, TypeError, ValueError, OverflowError) as error:
            raise ModelError(f"this is not what Scaler.to_dict gave ({error!r:.300}); fit the scaler and save it again") from error
        return scaler

    def _parameters(self, shape: tuple[int, ...]) -> tuple[Any, Any]:
        if not self._count:
            raise ModelError("the scaler has not been fitted; call scaler.fit(X_train) first")
        if not shape or shape[-1] != len(self._mean):
            raise ModelError(f"the scaler was fitted on {len(self._mean)} dims; got an array of shape {shape}")
        if self.normalizer == "minmax":
            half = (self._high - self._low) / 2
            return (self._high + self._low) / 2, half or 1.0
        deviation = np.sqrt(self._squares / self._count)
        # A constant dimension's computed deviation is rounding noise, not a scale.
        noise = 1e-7 * np.maximum(np.abs(self._mean), 1e-30)
        return self._mean, np.where(deviation > noise, deviation, 1.0)


def _scale_windows(windows: FloatArray, normalizer: str) -> FloatArray:
    """Rescale windows (..., frames, dims), each by itself."""
    if windows.ndim < 2 or not windows.shape[-2]:
        raise ModelError(f"Scaler({normalizer!r}) takes windows (..., frames, dims); got an array of shape {windows.shape}")
    values = windows.astype(np.float64)
    if normalizer == "window":
        values -= values.mean(axis=-2, keepdims=True)
        deviation = np.sqrt(np.square(values).sum(axis=-2, keepdims=True) / max(values.shape[-2] - 1, 1))
        return (values / np.maximum(deviation, LEAST_DEVIATION)).astype(np.float32)
    low, high = values.min(axis=(-2, -1), keepdims=True), values.max(axis=(-2, -1), keepdims=True)
    return ((values - low) / (high - low + LEAST_RANGE)).astype(np.float32)


def _arrays(data: Any) -> Iterable[FloatArray]:
    if hasattr(data, "real_frames"):  # a DataGenerator
        return cast("Iterable[FloatArray]", data.real_frames())
    return data if isinstance(data, list | tuple) else [data]
