"""Models that the server may use: those that come with dcasekit, and those of its runs."""

import os
import threading
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from dcasekit.annotations import Clip
from dcasekit.app._site import Site, is_below
from dcasekit.containers import load, trained
from dcasekit.containers.base import ModelContainer
from dcasekit.errors import NameNotFoundError
from dcasekit.scores import Scores

_DEEPEST = 5  # folders below that of the runs: run, seed, "models", system, fold
_one_at_a_time = threading.Lock()  # a network takes all cores


def models(site: Site) -> Mapping[str, Path]:
    """Return the models that can be used: name -> folder; those of runs come first, the newest on top."""
    found = [path.parent for depth in range(1, _DEEPEST + 1) for path in site.runs.glob("/".join(["[!.]*"] * depth + ["model.json"]))]
    found.sort(key=lambda folder: -(folder / "model.json").stat().st_mtime)
    own = {folder.relative_to(site.runs).as_posix(): folder for folder in found if is_below(folder, site.roots)}
    return {**own, **{name: trained.FOLDER / name for name in trained.names() if name not in own}}


def find(site: Site, name: str) -> ModelContainer:
    """Load the model with a name.

    Raises
    ------
    NameNotFoundError : there is no model with this name.
    ModelError : the model cannot be loaded.
    """
    known = models(site)
    if name not in known:
        raise NameNotFoundError("there is no such model")
    return _load(known[name], (known[name] / "model.json").stat().st_mtime_ns)


def answer(model: ModelContainer, clip: Clip) -> Scores:
    """Score a clip.

    Raises
    ------
    DcasekitError : the clip cannot be read or scored.
    """
    return _answer(model, clip.path, clip.channel, os.stat(clip.path).st_mtime_ns)


@lru_cache(4)
def _load(folder: Path, changed: int) -> ModelContainer:  # noqa: ARG001
    return load(folder)


@lru_cache(32)
def _answer(model: ModelContainer, path: Path, channel: int | None, changed: int) -> Scores:  # noqa: ARG001
    with _one_at_a_time:
        return model.predict([Clip(path.name, path, channel=channel)])[0]
