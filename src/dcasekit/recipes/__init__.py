"""Recipes: published systems and baselines, one straight file each.

A recipe has ``Config``, a frozen dataclass of all its settings, ``QUICK``, a `Config` that finishes in seconds and proves nothing but that
everything runs (its ``quick=True`` makes the report say so), and ``run(config, data, out, *, progress=False)``, which gives a `Report` and
has saved it, and the models, in `out`.
"""

from dcasekit.core.threads import share_cores

share_cores()  # before a recipe loads PyTorch, which looks once
