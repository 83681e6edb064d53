"""What all objects with settings share: plain numbers, and an unknown name that is met with the one that was meant."""

import difflib
import inspect
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, ClassVar, Self, get_args

import numpy as np

from dcasekit.errors import DcasekitError


class _Signature:
    """The signature of ``__init__``: that of ``__new__``, which takes anything to refuse it by name, would say nothing in a notebook."""

    def __get__(self, instance: Any, owner: type) -> inspect.Signature:
        signature = inspect.signature(owner.__init__)  # type: ignore[misc]
        return signature.replace(parameters=list(signature.parameters.values())[1:])


class Settings:
    """Base of classes, most of them dataclasses, whose settings are given by name."""

    __slots__ = ()
    __signature__ = _Signature()

    # What is raised, and what other tools call our settings; a name that is none here is advice.
    _error: ClassVar[type[DcasekitError]] = DcasekitError
    _elsewhere: ClassVar[Mapping[str, str]] = {}

    def __new__(cls, *values: Any, **settings: Any) -> Self:
        """Refuse what is no setting, before ``__init__`` does with a bare `TypeError`."""
        known = _keywords(cls)  # type: ignore[arg-type]  # a class is hashable
        if known is None:
            return super().__new__(cls)
        if values:
            raise cls._error(f"{cls.__name__} takes its settings by name; got {values!r}; its settings are: {', '.join(known)}")
        if unknown := [name for name in settings if name not in known]:
            hint, names = _hint(cls, unknown[0], known), ", ".join(known) or "none"
            raise cls._error(f"{cls.__name__}: unknown setting {unknown[0]!r}.{hint} Its settings are: {names}")
        return super().__new__(cls)

    def _make_plain(self) -> None:
        """Turn numbers of NumPy into Python's, as JSON has them: ``np.float32(0.1)`` is 0.1."""
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if (plain := _plain(value)) is not value:
                object.__setattr__(self, field.name, plain)


def _plain(value: Any) -> Any:
    if isinstance(value, np.floating):
        return float(str(value))
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, list | tuple) and any(isinstance(item, np.generic | np.ndarray | list | tuple) for item in value):
        return type(value)(map(_plain, value)) if type(value) in (list, tuple) else value
    return value


@cache
def _keywords(kind: type) -> tuple[str, ...] | None:
    """Name what a class is called with; None if it takes more than keywords, as one with an ``__init__`` of its own may."""
    parameters = list(inspect.signature(kind.__init__).parameters.values())[1:]  # type: ignore[misc]
    if any(parameter.kind is not parameter.KEYWORD_ONLY for parameter in parameters):
        return None
    return tuple(parameter.name for parameter in parameters)


def _hint(cls: type[Settings], unknown: str, known: tuple[str, ...]) -> str:
    """Name the setting that was meant, with the place where it lives."""
    if unknown in inspect.get_annotations(cls):
        return " The class defines it, but not as a field: write @dataclass(kw_only=True, eq=False) above the class."
    places = dict.fromkeys(known, "")
    own: tuple[Any, ...] = fields(cls) if is_dataclass(cls) else ()
    for field in own:
        for kind in get_args(field.type) or (field.type,):
            if isinstance(kind, type) and is_dataclass(kind) and issubclass(kind, Settings):
                for inner in fields(kind):
                    places.setdefault(inner.name, f"{field.name}={kind.__name__}({inner.name}=...)")
    wanted = cls._elsewhere.get(unknown.lower(), unknown.lower())
    if " " in wanted:
        return f" {wanted}."
    close = [wanted] if wanted in places else difflib.get_close_matches(wanted, places, n=1, cutoff=0.6)
    return f" Did you mean {places[close[0]] or close[0] + '=...'}?" if close else ""
