"""Names of functions and of what is bound to them, so that a run's record tells one from another."""

import functools
import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from dcasekit.errors import ModelError


def name_function(function: Any) -> str:
    """Name a function by module, qualified name and bound arguments: equal names mean that the same is computed.

    Functions of a name of their own are told by it; lambdas and functions inside functions could be anything, see `check_named`.

    Examples
    --------
    >>> from dcasekit.batch_augmentations import mixup
    >>> name_function(functools.partial(mixup, alpha=0.1))
    'dcasekit.batch_augmentations:mixup(alpha=0.1)'
    """
    if isinstance(function, functools.partial):
        bound = [*map(_name, function.args), *(f"{name}={_name(value)}" for name, value in sorted(function.keywords.items()))]
        return f"{_address(function.func)}({', '.join(bound)})"
    return _address(function)


def check_named(**functions: Any) -> None:
    """Refuse functions that no later process could recognise, for a run that is to be taken up again.

    Raises
    ------
    ModelError : a lambda, or a function made inside another one.
    """
    for setting, function in functions.items():
        if "<" in name_function(function):
            raise ModelError(
                f"{setting} is {name_function(function)}, which a resumed run could not tell from another function: define it "
                "at the top of a "
                "module, and fix its settings with functools.partial; or leave resume out"
            )


def _address(function: Any) -> str:
    named = function if hasattr(function, "__qualname__") else type(function)
    settings = getattr(function, "settings", None) if named is not function else None
    return f"{named.__module__}:{named.__qualname__}" + (f"({settings})" if isinstance(settings, Mapping) else "")


def _name(value: Any) -> str:
    """Name a bound argument: plain values as they are written, data and models by what they hold."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_name(key)}: {_name(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_name, value)) + "]"
    if callable(value):
        return name_function(value)
    held = getattr(value, "identity", None)  # of data
    if isinstance(value, np.ndarray):
        held = _hash(value)
    elif hasattr(value, "weights") and hasattr(value, "settings"):  # a model
        held = _hash(*value.weights().values())
    if held:
        return f"{type(value).__name__} {held[:16]}"
    return _address(value) if " at 0x" in repr(value) else repr(value)


def _hash(*arrays: Any) -> str:
    return hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)).hexdigest()
