"""``python -m dcasekit.cli``."""

from dcasekit.cli import main

main()
