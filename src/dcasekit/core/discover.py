"""Find a dataset, feature, model, metric or recipe by name: the folder is the list.

A leaf is one file in a family's folder; ``base.py``, and a file whose name begins with an underscore, is machinery. Its public class is the
one whose name equals the file's stem, ignoring case and underscores (``sb_cnn.py`` holds ``SB_CNN``,
``mel_spectrogram.py`` holds ``MelSpectrogram``). Adding a file is all there is to do; nothing is registered. A leaf in a
folder of a family's folder has a dotted name (``models/sklearn/svm.py``: ``sklearn.svm``, or ``sklearn/svm``).
"""

import difflib
import importlib
import operator
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from dcasekit.core.cells import shorten
from dcasekit.errors import MissingExtraError, NameNotFoundError

# Packages that leaves import, and the extras they come with.
_EXTRAS = {"torch": "torch", "keras": "keras", "sklearn": "sklearn", "h5py": "hdf5", "onnx": "onnx"}

# Names of the paper's library that are not ours but for case and underscores: class or type -> leaf.
_IN_THE_PAPER: Mapping[str, Mapping[str, str]] = {
    "augmentations": {"time_stretching": "time_stretch"},
    "datasets": {"URBAN_SED": "urban_sed", "SONYC_UST": "sonyc_ust"},
    "features": {"Openl3": "open_l3_embedding", "VGGishEmbeddings": "vggish_embedding"},
    "models": {"ConcatenatedModel": "concatenated"},
}

_PACKAGE = Path(__file__).parent.parent

FAMILIES = ("datasets", "augmentations", "features", "metrics", "models", "recipes", "annotations.formats", "containers.loggers")


def names(family: str) -> tuple[str, ...]:
    """List the leaves of a family, or of a folder of it (``"models.sklearn"``), without importing them.

    >>> "mel_spectrogram" in names("features")
    True
    """
    if not any(family == known or family.startswith(f"{known}.") for known in FAMILIES):
        raise NameNotFoundError(f"no family named {family!r}; known: {', '.join(FAMILIES)}")
    folder = _PACKAGE.joinpath(*family.split("."))
    leaves = (path.relative_to(folder).with_suffix("").parts for path in folder.rglob("*.py"))
    return tuple(sorted(".".join(parts) for parts in leaves if parts[-1] != "base" and not any(part.startswith("_") for part in parts)))


def module(family: str, name: str) -> ModuleType:
    """Import the file of one leaf, e.g. ``module("recipes", "esc10")``."""
    stems = {_key(stem): stem for stem in names(family)}
    others = {_key(theirs): ours for theirs, ours in _IN_THE_PAPER.get(family, {}).items()}
    if (stem := stems.get(_key(name), others.get(_key(name)))) is None:
        close = difflib.get_close_matches(_key(name), stems, n=1, cutoff=0.6)
        hint = f" Did you mean {stems[close[0]]!r}?" if close else ""
        raise NameNotFoundError(
            f"no {family.removesuffix('s')} named {shorten(name)}.{hint} "
            f"Known: {', '.join(stems.values())}. Your own: 'package.module:Class'."
        )
    try:
        return importlib.import_module(f"dcasekit.{family}.{stem}")
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _EXTRAS:
            raise
        raise MissingExtraError(package, _EXTRAS[package]) from error


def load(family: str, name: str) -> Any:
    """Return the public class (or function) of a leaf, or of ``"package.module:Class"``.

    Parameters
    ----------
    family : one of ``FAMILIES``.
    name : file stem or class name, in any case, with or without underscores; or ``"package.module:Class"``.

    Raises
    ------
    NameNotFoundError : nothing is called so; the message names what comes closest.
    """
    if ":" in name:
        return _load_address(name)
    leaf = module(family, name)
    found = public(vars(leaf), leaf.__name__)
    if found is None:
        raise NameNotFoundError(
            f"{leaf.__file__} holds no class or function named like the file; name it so (case and underscores do not matter)"
        )
    return found


def address(thing: type) -> str:
    """Say the shortest name under which `load` finds a class again: its stem, or ``"package.module:Class"``."""
    package, family, stem = (*thing.__module__.split(".", maxsplit=2), "", "")[:3]
    if package == "dcasekit" and family in FAMILIES and _key(stem.rpartition(".")[2]) == _key(thing.__name__):
        return stem
    return f"{thing.__module__}:{thing.__qualname__}"


def attribute(family: str, name: str) -> Any:
    """Serve ``from dcasekit.<family> import Name`` from the file that holds it (a package's ``__getattr__``)."""
    if name in _IN_THE_PAPER.get(family, {}):
        return load(family, name)
    if not name.startswith("_") and any(_key(name) == _key(stem) for stem in names(family)):
        found = load(family, name)
        if found.__name__ == name:
            return found
    raise AttributeError(f"module 'dcasekit.{family}' has no attribute {name!r}")


def public(namespace: Mapping[str, Any], module_name: str) -> Any | None:
    """Pick from a module's namespace the object named like the module."""
    stem = _key(module_name.rpartition(".")[2])
    return next((value for name, value in namespace.items() if _key(name) == stem and not isinstance(value, ModuleType)), None)


def _load_address(name: str) -> Any:
    module_name, _, attribute = name.partition(":")
    try:
        return operator.attrgetter(attribute)(importlib.import_module(module_name))
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise NameNotFoundError(
            f"cannot load {name!r}: {error}. Expected 'package.module:Class', importable from where Python runs."
        ) from error


def _key(name: str) -> str:
    return name.replace("_", "").replace("-", "").replace("/", ".").lower()
