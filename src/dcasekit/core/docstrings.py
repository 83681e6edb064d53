"""The settings of a dataclass, as its docstring describes them."""

import re
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields, is_dataclass
from inspect import cleandoc, get_annotations
from typing import Any, get_type_hints

_ENTRY = re.compile(r"^(\w[\w, ]*) : ?(.*)$")


@dataclass(frozen=True)
class Setting:
    """A setting of a dataclass.

    Parameters
    ----------
    name : its name; that of a setting inside another has a dot.
    default : its value if nothing is given; ``dataclasses.MISSING``: a value must be given.
    about : its description; empty: there is none.
    hint : its type.
    """

    name: str
    default: Any
    about: str
    hint: Any


def list_settings(kind: Any) -> list[Setting]:
    """List the settings of a dataclass, or of an object, whose values are then the defaults; those of its own class come first.

    >>> from dcasekit.features import MelSpectrogram
    >>> [setting.default for setting in list_settings(MelSpectrogram.preset("asc_tutorial")) if setting.name in ("sr", "mel.bands")]
    [40, 48000]
    """
    return list(_walk(kind, ""))


def _walk(kind: Any, prefix: str) -> Iterator[Setting]:
    owner = kind if isinstance(kind, type) else type(kind)
    hints, about, own = get_type_hints(owner), describe(owner), get_annotations(owner)
    for field in sorted(fields(owner), key=lambda field: field.name not in own):
        if not field.init:
            continue
        default = getattr(kind, field.name) if kind is not owner else field.default
        if kind is owner and field.default_factory is not MISSING:
            default = field.default_factory()
        if is_dataclass(default) and not isinstance(default, type):
            yield from _walk(default, f"{prefix}{field.name}.")
        else:
            yield Setting(prefix + field.name, default, about.get(field.name, ""), hints[field.name])


def describe(kind: type) -> dict[str, str]:
    """Read the description of each setting from the docstrings of a class and of its bases."""
    found: dict[str, str] = {}
    for one in reversed(kind.__mro__):
        for names, text in _entries(vars(one).get("__doc__") or ""):
            for name in re.split(r",\s*", names):
                if not (name in found and text.startswith("see `")):
                    found[name] = text
    return {name: text.replace("`", "") for name, text in found.items()}


def _entries(docstring: str) -> Iterator[tuple[str, str]]:
    """Return name and text of the entries of a docstring's parameters."""
    body = cleandoc(docstring).partition("Parameters\n----------\n")[2]
    body = re.split(r"\n\n?[A-Z][a-z]+\n-{3,}", body)[0]
    names, lines = "", [""]
    for line in [*body.split("\n"), "end : "]:
        entry = _ENTRY.match(line)
        if entry is None:
            lines.append(line.strip())
            continue
        if names:
            yield names, " ".join(lines).strip()
        names, lines = entry[1], [entry[2]]
