"""Forms of settings, made of a class' fields and its docstring, so that a new leaf has one as soon as its file is there.

Only what a form shows can be set: no paths, no functions of one's own, nothing but numbers, words and lists of them.
"""

import json
import os
import re
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from dash import dcc, html

from dcasekit.app import _parts
from dcasekit.core import discover
from dcasekit.core.cells import shorten
from dcasekit.core.docstrings import list_settings
from dcasekit.errors import DcasekitError

_SIMPLE = (int, float, str, bool, type(None))
_WORD = re.compile(r"[\w .,+\-*%\[\]\"'()]{1,200}(?![\s\S])")  # no colon, which would name a module's function, and no path
_UNASKED = {"resume", "callbacks", "progress", "augment", "rates", "estimator", "network", "weights", "quick"}


class FormError(DcasekitError, ValueError):
    """A form was sent with a field that it does not have, or with a value that does not fit."""


@dataclass(frozen=True)
class Setting:
    """A field of a form.

    Parameters
    ----------
    name : name of the setting; a nested setting has a dot in its name.
    default : default value as text; ``None``: a value must be given.
    about : description of the setting.
    choices : words that are allowed; empty: any text.
    number : whether the value is a number.
    """

    name: str
    default: str | None
    about: str
    choices: tuple[str, ...] = ()
    number: bool = False


@lru_cache(256)
def settings_of(kind: Any) -> tuple[Setting, ...]:
    """List the settings of a dataclass that a form can ask for."""
    return tuple(_settings(kind))


def load_settings(family: str, name: str) -> tuple[Setting, ...]:
    """List the settings of a feature, model or other part that is found by its family and name.

    A name can also be that of a published front end; for a recipe with its small settings it is ``NAME:quick``.

    Raises
    ------
    MissingExtraError : the part needs a package that is not installed.
    FormError : there is nothing with this name.
    """
    if family == "training":
        from dcasekit.containers.training import Training

        return settings_of(Training)
    if family == "features" and name in presets():
        from dcasekit.features import make_feature

        return tuple(_settings(make_feature(name)))
    recipe, _, small = name.partition(":")
    if family == "recipes" and recipe in discover.names(family):
        module = discover.module(family, recipe)
        return tuple(_settings(module.QUICK if small == "quick" else module.Config))
    if name not in discover.names(family):
        raise FormError(f"there is no {family.removesuffix('s')} {shorten(name)}")
    return settings_of(discover.load(family, name))


def presets() -> Sequence[str]:
    """Name the published front ends."""
    from dcasekit.features import presets as published

    return tuple(published())


def form(family: str, known: Sequence[Setting], given: Mapping[str, str] | None = None) -> html.Div:
    """Make the fields of a form; a field that is left empty means the default.

    Parameters
    ----------
    family : ``"features"``, ``"models"``, ``"training"`` or ``"augmentations:NAME"``.
    known : the settings.
    given : name -> initial value of a field.
    """
    return html.Div([_field(family, one, (given or {}).get(one.name)) for one in known], className="form")


def read_form(family: str, name: str, ids: Sequence[Mapping[str, str]], values: Sequence[Any]) -> dict[str, str]:
    """Read the values that were entered in a form, without empty fields.

    Parameters
    ----------
    family : as for `form`.
    name : name of the feature, model ... whose settings the form holds.
    ids, values : ids and values of all fields of the page.

    Returns
    -------
    dict : setting -> value as text.

    Raises
    ------
    FormError : there is a field that the form does not have, a value does not fit, or a required one is missing.
    """
    known = {one.name: one for one in load_settings(family.partition(":")[0], name)}
    found = {}
    for field, value in zip(ids, values, strict=True):
        if field.get("of") != family or value is None or not str(value).strip():
            continue
        setting, text = str(field.get("name")), str(value).strip()
        if setting not in known:
            raise FormError(f"{name} has no setting {shorten(setting)}")
        if not _WORD.match(text) or (known[setting].choices and text not in known[setting].choices):
            raise FormError(f"{setting} cannot be {shorten(text)}")
        found[setting] = text
    if lacking := [one.name for one in known.values() if one.default is None and one.name not in found]:
        raise FormError(f"{name} needs {lacking[0]}")
    return found


def _field(family: str, one: Setting, value: str | None) -> html.Div:
    name, shown = {"type": "setting", "of": family, "name": one.name}, one.default if one.default is not None else "needed"
    if one.choices:
        made: Any = dcc.Dropdown(list(one.choices), value, id=name, placeholder=shown)
    else:
        words = [] if one.number else list(dict.fromkeys(re.findall(r'"([\w.\-]+)"', one.about)))
        choice = f"{family}-{one.name}-words"
        made = [
            dcc.Input(
                id=name, value=value or "", type="text", placeholder=shown, inputMode="decimal" if one.number else "text", list=choice
            ),
            html.Datalist([html.Option(value=word) for word in words], id=choice),
        ]
    return html.Div([html.Label([html.Span(one.name), *_parts.listed(made)]), html.Small(one.about, className="soft")], className="control")


def _settings(kind: Any) -> Iterator[Setting]:
    """Find what a form can ask for among the settings of a class or an object."""
    for one in list_settings(kind):
        if not _UNASKED.intersection(one.name.split(".")) and (simple := _simple(one.hint)) is not None:
            choices, number = simple
            yield Setting(one.name, None if one.default is MISSING else _text(one.default), one.about, choices, number)


def _simple(hint: Any) -> tuple[tuple[str, ...], bool] | None:
    """Say which words a type takes, and whether it is a number; ``None``: a form cannot ask for it."""
    parts = [part for part in (get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,))]
    if any(part is Path or part is os.PathLike or get_origin(part) is os.PathLike for part in parts):
        return None
    plain = [part for part in parts if part in _SIMPLE or get_origin(part) is Literal or _is_list(part)]
    if not any(part is not type(None) for part in plain):
        return None
    words = [str(word) for part in plain if get_origin(part) is Literal for word in get_args(part)]
    if bool in plain:
        words += ["true", "false"]
    closed = words and all(part in (bool, type(None)) or get_origin(part) is Literal for part in plain)
    choices = (*words, *(["none"] if type(None) in plain else [])) if closed else ()
    return choices, {int, float} >= set(plain) - {type(None)}


def _is_list(hint: Any) -> bool:
    origin, inner = get_origin(hint), [each for each in get_args(hint) if each is not Ellipsis]
    return isinstance(origin, type) and issubclass(origin, Sequence) and all(each in _SIMPLE or _is_list(each) for each in inner)


def _text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return json.dumps(value)
    return value.__name__ if isinstance(value, Callable) and hasattr(value, "__name__") else str(value)  # type: ignore[arg-type]
