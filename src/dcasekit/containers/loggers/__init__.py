"""Callbacks of `train` that log a run with other programs: one file each, found by its name (``dcasekit train --log NAME``)."""
