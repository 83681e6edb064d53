"""Models: one network per file, in PyTorch (extra ``torch``)."""

from typing import Any

import dcasekit.containers.torch  # noqa: F401 - where PyTorch is missing, this says which extra to install; a model's own import would not
from dcasekit import discover


def __getattr__(name: str) -> Any:
    return discover.attribute("models", name)
