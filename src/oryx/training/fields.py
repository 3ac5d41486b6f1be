"""Dataclasses from plain YAML values: types checked, unknown keys refused with the nearest known one."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
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
        if value is None and type(None) in arguments:
            return None
        inner = next(kind for kind in arguments if kind is not type(None))
        return convert(inner, value, where, key)
    if is_dataclass(hint):
        return build(hint, value, where, key)  # type: ignore[arg-type]
    if hint is Any:
        return value
    if origin is Literal:
        if value not in arguments:
            allowed = ", ".join(map(str, arguments))
            raise ConfigError(f"{where(key)} is {_show(value)}; allowed: {allowed}.")
        return value
    if origin is tuple and isinstance(value, list | tuple):
        if arguments[-1] is not Ellipsis and len(value) != len(arguments):
            raise ConfigError(f"{where(key)} has {len(value)} entries; it must have {len(arguments)}.")
        kinds = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else list(arguments)
        return tuple(
            convert(kind, item, where, f"{key}[{i}]") for i, (kind, item) in enumerate(zip(kinds, value))
        )
    if origin is dict and isinstance(value, Mapping):
        return {
            str(name): convert(arguments[1], item, where, _join(key, name)) for name, item in value.items()
        }
    if hint is float:
        number = _as_float(value)
        if number is not None:
            return number
    elif (
        hint in (int, str, bool) and isinstance(value, hint) and (hint is bool or not isinstance(value, bool))
    ):
        return value
    raise ConfigError(f"{where(key)} is {_show(value)}; it must be {_NAMES.get(origin or hint, str(hint))}.")


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
