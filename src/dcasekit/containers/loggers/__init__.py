"""Callbacks of `train` that tell other programs how it goes: a file each, found by its name (``dcasekit train --log NAME``)."""
