"""Trained models that come with dcasekit: a folder of each lies beside this file, as `ModelContainer.save` writes it, with a card.

`load` takes their names. A card says what a model answers, what it was trained on and under which licences, how it was tested, and the
command that makes it again (``tools/make_trained_models.py``).
"""

import difflib
import logging
from pathlib import Path
from typing import Any

from dcasekit.core.files import read_json, read_rows
from dcasekit.core.units import PathLike
from dcasekit.errors import ModelError

_log = logging.getLogger(__name__)

FOLDER = Path(__file__).parent


def names() -> tuple[str, ...]:
    """List the names of the trained models.

    >>> "esc10" in names()
    True
    """
    return tuple(sorted(path.parent.name for path in FOLDER.glob("*/card.json")))


def card(name: str) -> dict[str, Any]:
    """Return the card of a trained model: what it answers, how it was trained and tested.

    Returns
    -------
    dict : ``name``, ``about``, ``labels``, ``task``; ``figure`` (name, value, interval_95, clips, of: the networks it was measured with);
        ``data`` (dataset, folds, clips, source, citation), ``licence``, ``protocol``, ``limits``, ``command``, ``versions``, and ``bytes``,
        the size of its folder.

    Raises
    ------
    ModelError : there is no such model; the message lists those there are.
    """
    folder = _folder(name)
    size = sum(path.stat().st_size for path in folder.iterdir())
    return {"name": name, **read_json(folder / "card.json", error=ModelError), "bytes": size}


def attribution(name: str) -> list[dict[str, str]]:
    """List the recordings that a trained model was trained on, each with ``clip``, ``title``, ``url``, ``author`` and ``license``.

    The list is empty if the recordings were synthesized.
    """
    path = _folder(name) / "attribution.tsv"
    if not path.exists():
        return []
    columns, *rows = (cells for _, cells in read_rows(path, error=ModelError))
    return [dict(zip(columns, cells, strict=True)) for cells in rows]


def find(name: PathLike) -> Path:
    """Return a model's folder: the path itself if it exists, else the folder of the trained model with this name.

    Raises
    ------
    ModelError : there is neither; the message lists the trained models.
    """
    if (folder := Path(name)).exists():
        if str(name) in names():
            _log.warning("%s is a folder here and is used; the trained model of that name is in %s", name, FOLDER / name)
        return folder
    return _folder(str(name))


def _folder(name: str) -> Path:
    if name in names():
        return FOLDER / name
    close = difflib.get_close_matches(name, names(), n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise ModelError(f"the folder {name} does not exist, and no trained model has this name.{hint} Trained models: {', '.join(names())}")
