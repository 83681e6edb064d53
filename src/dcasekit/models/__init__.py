"""Models: one network per file, in PyTorch (extra ``torch``)."""

from typing import Any

from dcasekit.core import discover


def __getattr__(name: str) -> Any:
    return discover.attribute("models", name)
