"""Dataclasses from plain YAML values: types checked, unknown keys refused with the nearest known one."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from oryx.errors import ConfigError
from oryx.processing.geometry import nearest

T = TypeVar("T")
Where = Callable[[str], str]
"""Dotted key -> how an error sentence names its place, such as `recipe.yaml: optim.steps`."""


def yaml_name(name: str) -> str:
    """A field's key in YAML: `from_` is `from`, which Python keeps for itself."""
    return name.rstrip("_")


def build(cls: type[T], settings: Any, where: Where, key: str = "") -> T:
    """An instance of the dataclass `cls` from a mapping, nested dataclasses included.

    Raises:
        ConfigError: an unknown key, a missing one, or a value of the wrong type. Named by `where`.
    """
    if settings is None:
        settings = {}
    if not isinstance(settings, Mapping):
        raise ConfigError(f"{where(key)} is {_show(settings)}; it must be a section of keys and values.")
    hints = get_type_hints(cls)
    known = {yaml_name(field.name): field for field in fields(cls)}  # type: ignore[arg-type]
    for name in settings:
        if name not in known:
            raise ConfigError(f"{where(_join(key, name))} is not a known key; {nearest(name, list(known))}.")
    values = {}
    for name, field in known.items():
        place = _join(key, name)
        if name in settings:
            values[field.name] = convert(hints[field.name], settings[name], where, place)
        elif field.default is MISSING and field.default_factory is MISSING:
            raise ConfigError(f"{where(place)} is missing; it has no default.")
    try:
        return cls(**values)
    except ConfigError as error:
        # A dataclass checks its own ranges and names the field; the file is known here.
        raise ConfigError(f"{where(_join(key, str(error)))}") from None


def convert(hint: Any, value: Any, where: Where, key: str) -> Any:
    """`value` as the type `hint`; lists become tuples, whole numbers and texts like "1e-3" become floats.

    Raises:
        ConfigError: it is something else.
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        inner = next(kind for kind in arguments if kind is not type(None))
        return None if value is None else convert(inner, value, where, key)
    if is_dataclass(hint):
        return build(hint, value, where, key)  # type: ignore[arg-type]
    if hint is Any:
        return value
    if origin is Literal and value in arguments:
        return value
    if origin is tuple and isinstance(value, list | tuple):
        return _convert_tuple(arguments, value, where, key)
    if origin is dict and isinstance(value or {}, Mapping):
        items = (value or {}).items()  # YAML reads a section without keys as nothing
        return {str(name): convert(arguments[1], item, where, _join(key, name)) for name, item in items}
    if hint is float:
        number = _as_float(value)
        if number is not None:
            return number
    if hint in (int, str, bool) and isinstance(value, hint) and (hint is bool or not isinstance(value, bool)):
        return value
    if origin is Literal:
        raise ConfigError(f"{where(key)} is {_show(value)}; allowed: {', '.join(map(str, arguments))}.")
    raise ConfigError(f"{where(key)} is {_show(value)}; it must be {_NAMES.get(origin or hint, str(hint))}.")


def _convert_tuple(kinds: tuple[Any, ...], value: Sequence[Any], where: Where, key: str) -> tuple[Any, ...]:
    if kinds[-1] is Ellipsis:
        kinds = (kinds[0],) * len(value)
    if len(value) != len(kinds):
        raise ConfigError(f"{where(key)} has {len(value)} entries; it must have {len(kinds)}.")
    return tuple(
        convert(kind, item, where, f"{key}[{i}]") for i, (kind, item) in enumerate(zip(kinds, value))
    )


_NAMES = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "true or false",
    tuple: "a list",
    dict: "a section of keys and values",
}


def _as_float(value: Any) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str):  # YAML 1.1 reads 1e-3, without a point, as text
        try:
            return float(value)
        except ValueError:
            return None
    return None


def _join(key: str, name: object) -> str:
    return f"{key}.{name}" if key else str(name)


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
