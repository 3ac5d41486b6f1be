"""The dials of a request, checked before anything waits or is decoded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from oryx.errors import ConfigError
from oryx.media.focus import parse_focus
from oryx.processing.budget import Budget
from oryx.processing.geometry import check_compression, nearest
from oryx.processing.visuals import DIALS, check_numbers, check_switch, kinds_with_dial
from oryx.serving.errors import RequestError

VISUAL_DIALS = tuple(dial for dial in DIALS if dial != "subtitles")  # these name a file
REQUEST_DIALS = (*VISUAL_DIALS, "budget", "prompt_style", "views")
DETAILS = ("auto", "high", "low")

_LONGEST_TEXT = 2000
_LARGEST_NUMBER = 2**53
_DEEPEST = 4
_LONGEST_MESSAGE = 500
_SWITCHES = ("keyframes", "fast_resize", "timestamps")


@dataclass(frozen=True)
class Dials:
    """What `mm_processor_kwargs` says, for the whole request."""

    visual: Mapping[str, Any] = field(default_factory=dict)
    """For visuals that do not set them."""
    budget: Any = None
    prompt_style: str | None = None
    views: bool = False
    """The pictures of a message are views of one scene."""


def read_dials(given: Mapping[str, Any], param: str = "mm_processor_kwargs") -> Dials:
    """The dials of a request.

    Raises:
        RequestError: an unknown dial, with the nearest one, or a value out of range.
    """
    given = _known(given, REQUEST_DIALS, param)
    for name, value in given.items():
        _check(name, value, param)
    visual = {name: given[name] for name in VISUAL_DIALS if name in given}
    return Dials(
        _without_auto(visual), given.get("budget"), given.get("prompt_style"), given.get("views", False)
    )


def read_part_dials(given: Mapping[str, Any], kind: str, param: str) -> dict[str, Any]:
    """Dials that stand beside one picture or video.

    Args:
        kind: "image" or "video", which have dials of their own.

    Raises:
        RequestError: as `read_dials`.
    """
    known = tuple(dial for dial in VISUAL_DIALS if kind in kinds_with_dial(dial))
    given = _known(given, known, param)
    for name, value in given.items():
        _check(name, value, param)
    return _without_auto(given)


def _known(given: Mapping[str, Any], known: tuple[str, ...], param: str) -> dict[str, Any]:
    for name in given:
        if name not in known:
            raise RequestError(
                f"{param} has no dial {name[:60]!r}; {nearest(name[:60], known)}.",
                code="unknown_dial",
                param=param,
            )
    return {name: value for name, value in given.items() if value is not None}


def _check(name: str, value: Any, param: str) -> None:
    place = f"{param}.{name}"
    try:
        _check_size(value)
        # Each range has one home, which is asked here.
        match name:
            case "max_frames" | "max_pixels" | "max_visual_tokens" | "fps":
                check_numbers({name: value})
            case "compression":
                for ratio in value if isinstance(value, list) else [value]:
                    check_compression(ratio)
            case "focus":
                parse_focus(value)
            case "budget":
                Budget.parse(value)
            case "prompt_style":
                _check_choice(name, value, ("train", "eval"))
            case "detail":
                _check_choice(name, value, DETAILS)
            case "views":
                check_switch({name: value}, name)
            case _ if name in _SWITCHES:
                check_switch({name: value}, name)
    except ConfigError as error:
        message = str(error)  # it may quote a list of thousands
        if len(message) > _LONGEST_MESSAGE:
            message = message[:_LONGEST_MESSAGE] + "..."
        raise RequestError(message, code="invalid_dial", param=place) from None


def _check_choice(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(f"{name} must be {' or '.join(map(repr, allowed))}, not {str(value)[:60]!r}.")


def _check_size(value: Any, depth: int = 0) -> None:
    """No number, text or list so large that reading it costs more than it can mean."""
    if isinstance(value, str) and len(value) > _LONGEST_TEXT:
        raise ConfigError(f"a dial's text has {len(value):,} characters; at most {_LONGEST_TEXT:,} are read.")
    if isinstance(value, int | float) and abs(value) > _LARGEST_NUMBER:
        raise ConfigError(f"a dial's number is above {_LARGEST_NUMBER:,}.")
    if isinstance(value, list | dict):
        if depth == _DEEPEST:
            raise ConfigError(f"a dial's list is nested more than {_DEEPEST} deep.")
        if len(value) > _LONGEST_TEXT * 10:
            raise ConfigError(
                f"a dial's list has {len(value):,} entries; at most {_LONGEST_TEXT * 10:,} are read."
            )
        for item in value.values() if isinstance(value, dict) else value:
            _check_size(item, depth + 1)


def _without_auto(dials: dict[str, Any]) -> dict[str, Any]:
    """OpenAI's detail "auto" is what happens without one."""
    return {name: value for name, value in dials.items() if (name, value) != ("detail", "auto")}
