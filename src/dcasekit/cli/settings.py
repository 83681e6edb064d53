"""Settings on the command line: texts ``key=value`` to the fields of a settings class, with types checked.

A value is JSON where it can be read as JSON, else text; ``none`` is ``None``. A dotted key reaches a nested settings object.
"""

import difflib
import inspect
import json
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar, Union, get_args, get_origin, get_type_hints

import typer

from dcasekit.core import discover

Settings = TypeVar("Settings")

# Those of `dcasekit.results.scoring`, named here because help must not import it; a test compares.
METRIC_NAMES = (
    "segment_f1", "segment_f1_micro", "segment_error_rate", "event_f1", "event_f1_micro", "event_error_rate", "intersection_f1",
    "psds1", "psds2", "psds_2020", "psds_2020_cross_trigger", "psds_2020_macro", "best_segment_f1", "best_event_f1",
    "best_intersection_f1", "segment_auroc", "clip_average_precision", "clip_lwlrap",
)  # fmt: skip
_WORDS = {"none": None, "true": True, "false": False}  # as Python and as JSON spell them


class _MisfitError(ValueError):
    """A value is not of the type a setting needs."""


def assignments(pairs: Sequence[str] | None, *, option: str) -> dict[str, str]:
    """Take ``key=value`` texts apart; of two for one key the last stands."""
    pairs = pairs or ()
    if wrong := [pair for pair in pairs if not pair.partition("=")[0].strip() or "=" not in pair]:
        raise typer.BadParameter(f"expected key=value; got {wrong[0]!r}", param_hint=option)
    return {key.strip(): text.strip() for key, _, text in (pair.partition("=") for pair in pairs)}


def apply_settings(settings: Settings, texts: Mapping[str, str], *, option: str, prefix: str = "") -> Settings:
    """Return a copy of a settings object with some fields changed.

    Parameters
    ----------
    settings : a dataclass object.
    texts : (dotted) name of a field -> value as text. The name of a nested settings class stands for that class with its defaults.
    option : of the command line, for messages.
    prefix : of the fields' names, for messages.

    Raises
    ------
    typer.BadParameter : no such field, a value of another type, or one that the class refuses.
    """
    hints, known = get_type_hints(type(settings)), _names(settings)
    values: dict[str, Any] = {}
    nested: dict[str, dict[str, str]] = {}
    for key, text in texts.items():
        name, dot, rest = key.partition(".")
        if name not in known:
            _refuse_unknown(prefix + key, [prefix + each for each in known], option)
        if dot:
            nested.setdefault(name, {})[rest] = text
        else:
            values[name] = _value(text, hints[name], prefix + name, option)
    for name, inner in nested.items():
        current = values.get(name, getattr(settings, name))
        if not is_dataclass(current):
            raise typer.BadParameter(f"{prefix}{name} is {current!r}, which has no nested settings", param_hint=option)
        values[name] = apply_settings(current, inner, option=option, prefix=f"{prefix}{name}.")
    try:
        return replace(settings, **values)  # type: ignore[type-var] # a dataclass; TypeVar bounds cannot say so
    except (TypeError, ValueError) as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def keywords(
    function: Callable[..., Any], texts: Mapping[str, str], *, option: str, but: Sequence[str] = ("cache", "labels")
) -> dict[str, Any]:
    """Return texts as keyword arguments of a function or class; those named in `but` are options of their own."""
    found = inspect.signature(function).parameters.values()
    known = {one.name: one.annotation for one in found if one.kind is one.KEYWORD_ONLY and one.name not in but}
    for key in texts:
        if key not in known:
            _refuse_unknown(key, list(known), option)
    return {key: _value(text, known[key], key, option) for key, text in texts.items()}


def _names(settings: Any) -> list[str]:
    """List the fields that can be set, those of nested settings with dots."""
    found = []
    for field in fields(settings):
        if field.init:
            value = getattr(settings, field.name)
            found += [field.name, *(f"{field.name}.{name}" for name in (_names(value) if is_dataclass(value) else ()))]
    return found


def _refuse_unknown(key: str, known: Sequence[str], option: str) -> NoReturn:
    close = difflib.get_close_matches(key, known, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise typer.BadParameter(f"no setting {key!r}.{hint} Known: {', '.join(known) or 'none'}", param_hint=option)


def _value(text: str, hint: Any, name: str, option: str) -> Any:
    try:
        value = _WORDS[text.lower()] if text.lower() in _WORDS else json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        value = text
    # A name may look like a number: where 7 does not fit, "7" may.
    for candidate in (value, text):
        try:
            return _fit(candidate, hint)
        except _MisfitError:
            pass
    raise typer.BadParameter(f"{name} must be {_describe(hint)}; got {text!r}", param_hint=option)


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no setting")


def _fit(value: Any, hint: Any) -> Any:
    """Return a value as the type says it, e.g. 1 as 1.0 for a float; refuse one of another type."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _fit_any(value, arguments)
    if isinstance(value, list) and _is_kind(origin, Sequence):
        return _fit_items(value, origin, arguments)
    if isinstance(value, str) and (named := _make_named(value, hint)) is not None:
        return named
    if hint is float and type(value) is int:
        return float(value)
    literal = origin is Literal and any(value == one and type(value) is type(one) for one in arguments)
    if literal or hint is Any or type(value) is hint or (isinstance(value, dict) and _is_kind(origin, Mapping)):
        return value
    raise _MisfitError


def _make_named(name: str, hint: Any) -> Any:
    """Make what a text can stand for: a path, a nested settings class with its defaults, a function."""
    if hint is Path:
        return Path(name)
    if isinstance(hint, type) and is_dataclass(hint) and name.lower() == hint.__name__.lower():
        return hint()
    return discover.load("augmentations", name) if get_origin(hint) is Callable and ":" in name else None


def _fit_any(value: Any, hints: Sequence[Any]) -> Any:
    for hint in hints:
        try:
            return _fit(value, hint)
        except _MisfitError:
            pass
    raise _MisfitError


def _fit_items(values: list[Any], origin: type, arguments: Sequence[Any]) -> Any:
    if origin is tuple and Ellipsis not in arguments:
        if len(values) != len(arguments):
            raise _MisfitError
        return tuple(_fit(value, hint) for value, hint in zip(values, arguments, strict=True))
    fitted = (_fit(value, arguments[0] if arguments else Any) for value in values)
    return list(fitted) if origin is list else tuple(fitted)


def _is_kind(origin: Any, kind: type) -> bool:
    return isinstance(origin, type) and issubclass(origin, kind)


def _describe(hint: Any) -> str:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(map(_describe, arguments)))
    if origin is Literal:
        return " or ".join(map(repr, arguments))
    if origin is Callable:
        return "a function, 'package.module:function'"
    if _is_kind(origin, Sequence):
        inner = " and ".join(_describe(argument) for argument in arguments if argument is not Ellipsis)
        return f"a list [...] of {inner}"
    return "none" if hint is type(None) else str(getattr(hint, "__name__", hint))
