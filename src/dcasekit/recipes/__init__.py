"""Recipes: published systems and baselines, one straight file each.

A recipe has

- ``Config``, a frozen dataclass of all its settings, most simply made of `BaseConfig`, which has ``seed``, ``device`` and ``quick``; its
  docstring tells what each setting is;
- ``QUICK``, a `Config` that finishes in seconds and only shows that everything runs; its ``quick=True`` makes the report say so;
- ``DATASETS``, the names of the datasets it needs;
- ``run(config, data, out, *, progress=False)``, which takes the settings, a mapping dataset name -> folder, and a folder `out`; it saves a
  report and the models in `out`, and returns the `Report`. For a dataset that is not given it makes a small one of synthetic sounds, and
  the title of the report says so: `_data.find`, `_data.title`. The decorator `dcasekit.core.energy.measured` adds the electricity that
  the run used to the report.
"""

from dcasekit.core.threads import share_cores

share_cores()  # before a recipe loads PyTorch, which looks once
