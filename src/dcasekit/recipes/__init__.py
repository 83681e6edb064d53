"""Recipes: published systems and baselines, one straight file each.

A recipe has

- ``Config``, a frozen dataclass of all its settings, with ``seed``, ``device`` and ``quick``;
- ``QUICK``, a `Config` that finishes in seconds and proves nothing but that everything runs: its ``quick=True`` makes the report say so;
- ``DATASETS``, the names of the datasets it takes;
- ``run(config, data, out, *, progress=False)``: from folders, dataset name -> folder, to a `Report`, which it has saved in `out`, with the
  models. A dataset that is not given is made small, and the report's title says so: `_data.find`, `_data.title`.
  `dcasekit.core.energy.measured` above it has the report say what electricity it took.
"""

from dcasekit.core.threads import share_cores

share_cores()  # before a recipe loads PyTorch, which looks once
