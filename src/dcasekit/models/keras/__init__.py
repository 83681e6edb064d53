"""Models of Keras 3 (extra ``keras``), twins of the PyTorch models of the same names: one network per file."""

from typing import Any

import dcasekit.containers.keras  # noqa: F401 - first: it chooses the backend before a model imports Keras
from dcasekit.core import discover


def __getattr__(name: str) -> Any:
    return discover.attribute("models.keras", name)
