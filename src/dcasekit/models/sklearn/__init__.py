"""Models of scikit-learn (extra ``sklearn``, for training alone): one estimator per file."""

from typing import Any

from dcasekit.core import discover


def __getattr__(name: str) -> Any:
    return discover.attribute("models.sklearn", name)
