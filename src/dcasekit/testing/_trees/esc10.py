"""ESC-10: the tree of ESC-50 with its own ten labels."""

from dcasekit.testing._trees.esc50 import make

__all__ = ["make"]
