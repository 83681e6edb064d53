"""``python -m dcasekit``."""

from dcasekit.cli import main

main()
