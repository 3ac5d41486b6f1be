"""The base of every skill's settings: typed, frozen, validated when made, unknown keys refused."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from oryx.errors import ConfigError

RATIOS = (1, 2, 4, 8, 16)
FIRST_TEST_SEED = 10_000_000
"""Training draws from seeds below this, tests from this and above, so that no sample is in both."""

S = TypeVar("S", bound="SkillSettings")


def whole_range(low: int, high: int, default: tuple[int, int]) -> Any:
    """A field holding (min, max) whole numbers inside low..high; one number n stands for (n, n)."""
    return field(default=default, metadata={"range": (int, low, high)})


def real_range(low: float, high: float, default: tuple[float, float]) -> Any:
    """A field holding (min, max) numbers inside low..high; one number n stands for (n, n)."""
    return field(default=default, metadata={"range": (float, low, high)})


def number(low: float, high: float, default: float) -> Any:
    """A field holding one number inside low..high, whole where the default is whole."""
    return field(default=default, metadata={"number": (type(default), low, high)})


def one_of(*allowed: Any) -> Any:
    """A field holding one of the allowed values; the first is the default."""
    return field(default=allowed[0], metadata={"one_of": allowed})


def some_of(allowed: Iterable[Any], default: Iterable[Any] | None = None) -> Any:
    """A field holding a non-empty tuple of allowed values, by default all of them."""
    allowed = tuple(allowed)
    return field(default=allowed if default is None else tuple(default), metadata={"some_of": allowed})


def texts(default: str | tuple[str, ...] = ()) -> Any:
    """A field holding a tuple of texts. A single text stands for a list of it, or where the default is one,
    for itself."""
    return field(default=default, metadata={"texts": isinstance(default, str)})


@dataclass(frozen=True, kw_only=True)
class SkillSettings:
    """What all skills have. Making one validates it: `ConfigError` names the setting and what is allowed."""

    compression: tuple[int, ...] = some_of(RATIOS, (1,))
    """Compression ratios, each sample draws one with equal chance."""
    wordings: str = one_of("all", "first")
    """Ask in all the wordings of a question, or only in the first, the one that the model card names."""
    joined: float = number(0.0, 1.0, 0.0)
    """Share of the samples whose question follows the visual without a line break, as in chat messages."""
    marks: bool = True
    """Whether visuals carry marks, the points whose visual tokens are taught what is there."""

    def __post_init__(self) -> None:
        for item in fields(self):
            value = _checked(item.name, getattr(self, item.name), item.metadata)
            if item.type in (bool, "bool") and not isinstance(value, bool):
                raise ConfigError(f"Setting {item.name!r} is {value!r}; it must be true or false.")
            if item.type in (str, "str") and not isinstance(value, str):
                raise ConfigError(f"Setting {item.name!r} is {value!r}; it must be a text.")
            object.__setattr__(self, item.name, value)


def parse_settings(cls: type[S], skill: str, given: Mapping[str, Any]) -> S:
    """`cls` from a mapping as a recipe gives it (without `weight`).

    Raises `ConfigError` for an unknown setting, naming the nearest known one, and for a value out of range.
    """
    known = [item.name for item in fields(cls)]
    for key in given:
        if key not in known:
            raise ConfigError(
                f"Skill {skill!r} has no setting {key!r}{did_you_mean(key, [*known, 'weight'])}."
            )
    try:
        return cls(**given)
    except ConfigError as error:
        raise ConfigError(f"Skill {skill!r}: {error}") from None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: the nearest known one, and all of them."""
    known = list(known)
    nearest = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
    return f"{hint} (known: {', '.join(known)})"


def check_described(described: float, questions: Sequence[str]) -> None:
    """Raises `ConfigError` where a sample that may not ask for a description could ask nothing at all."""
    if described < 1 and set(questions) == {"describe"}:
        raise ConfigError(
            f"Setting 'described' is {described!r}; with no question but describe it must be 1."
        )


def _checked(name: str, value: Any, rules: Mapping[str, Any]) -> Any:
    """The value in its stored form (lists become tuples), or `ConfigError`."""
    if "range" in rules:
        kind, low, high = rules["range"]
        pair = (value, value) if _is_number(value, kind) else value
        if (
            not isinstance(pair, (list, tuple))
            or len(pair) != 2
            or not all(_is_number(bound, kind) for bound in pair)
            or not low <= pair[0] <= pair[1] <= high
        ):
            raise ConfigError(f"Setting {name!r} is {value!r}; it must be [min, max] within {low} to {high}.")
        return tuple(pair)
    if "number" in rules:
        kind, low, high = rules["number"]
        if not _is_number(value, kind) or not low <= value <= high:
            what = "whole number" if kind is int else "number"
            raise ConfigError(f"Setting {name!r} is {value!r}; it must be a {what} from {low} to {high}.")
    if "one_of" in rules and value not in rules["one_of"]:
        raise ConfigError(f"Setting {name!r} is {value!r}; it must be one of {_names(rules['one_of'])}.")
    if "some_of" in rules:
        values = tuple(value) if isinstance(value, (list, tuple)) else (value,)
        if not values or any(entry not in rules["some_of"] for entry in values):
            allowed = _names(rules["some_of"])
            raise ConfigError(f"Setting {name!r} is {value!r}; it must be a list of some of {allowed}.")
        return values
    if "texts" in rules:
        if isinstance(value, str):
            return value if rules["texts"] else (value,)
        if not isinstance(value, (list, tuple)) or not all(isinstance(entry, str) for entry in value):
            raise ConfigError(f"Setting {name!r} is {value!r}; it must be a list of texts.")
        return tuple(value)
    return value


def _is_number(value: Any, kind: type) -> bool:
    return isinstance(value, (int, kind)) and not isinstance(value, bool)


def _names(allowed: Iterable[Any]) -> str:
    return ", ".join(str(value) for value in allowed)
