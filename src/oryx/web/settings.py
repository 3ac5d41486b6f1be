"""One setting of the dials, as the page has it and as a request takes it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from oryx.errors import ConfigError
from oryx.processing.budget import Budget
from oryx.processing.geometry import ResizeRule
from oryx.processing.visuals import FEW_FRAMES

LONGEST_ANSWER = 2048
AUTO = "auto"

NAMES = (
    *("compression", "max_frames", "side", "tokens", "memory", "seconds"),
    *("focus", "fps", "detail", "extras", "prompt_style", "max_new_tokens", "temperature"),
)
"""All controls of a setting, in the order in which events get their values."""


@dataclass(frozen=True)
class Settings:
    """What a question may cost and how its media are read. None is the default of each kind of medium."""

    compression: int | None = None
    max_frames: int | None = None
    max_pixels: int | None = None
    """Cap on the area of every view and frame, in square pixels."""
    focus: str | None = None
    fps: float | None = None
    detail: str | None = None
    """"high" or "low", of pictures."""
    timestamps: bool = False
    keyframes: bool = False
    tokens: int | None = None
    """Visual tokens of all media together; with `memory` and `seconds` the budget."""
    memory: float | None = None
    """GB."""
    seconds: float | None = None
    prompt_style: str | None = None
    max_new_tokens: int = 256
    temperature: float = 0.0

    @property
    def budget(self) -> Budget | None:
        """What all media may cost together.

        Raises:
            ConfigError: an amount that is not above 0.
        """
        if self.tokens is None and self.memory is None and self.seconds is None:
            return None
        memory = None if self.memory is None else self.memory * 1e9
        return Budget(self.tokens, memory if memory is None else int(memory), self.seconds)

    @property
    def dials(self) -> dict[str, Any]:
        """The dials that are turned, as keys of a visual; each kind of medium takes those that it has."""
        given = {
            "compression": self.compression,
            "max_frames": self.max_frames,
            "max_pixels": self.max_pixels,
            "focus": self.focus,
            "fps": self.fps,
            "detail": self.detail,
            "timestamps": self.timestamps or None,
            "keyframes": self.keyframes or None,
        }
        return {name: value for name, value in given.items() if value is not None}

    @property
    def request_dials(self) -> dict[str, Any]:
        """`mm_processor_kwargs` of a chat request."""
        dials = self.dials
        amounts = {"tokens": self.tokens, "memory": None, "seconds": self.seconds}
        if self.memory is not None:
            amounts["memory"] = int(self.memory * 1e9)
        budget = {name: amount for name, amount in amounts.items() if amount is not None}
        if budget:
            dials["budget"] = budget
        if self.prompt_style is not None:
            dials["prompt_style"] = self.prompt_style
        return dials


def read_settings(values: Mapping[str, Any], widest: int, most_frames: int) -> Settings:
    """Settings from the values of the page's controls.

    Args:
        values: by control of `NAMES`; those that are missing or empty are as by default. `side` is that of a
            square in pixels whose area caps every view, `extras` a list of "timestamps" and "keyframes".
        widest: the `side` that stands for no cap.
        most_frames: what this page allows.

    Raises:
        ConfigError: a number that is out of range.
    """
    ratio = values.get("compression") or AUTO
    max_frames = _whole(values.get("max_frames"), "frames")
    if max_frames is not None and not 1 <= max_frames <= most_frames:
        raise ConfigError(f"frames can be 1 to {most_frames:,} here, not {max_frames:,}.")
    side = _whole(values.get("side"), "resolution")
    if side is not None and side < 1:
        raise ConfigError(f"the resolution must be at least 1 pixel, not {side}.")
    longest = _whole(values.get("max_new_tokens"), "answer length") or Settings.max_new_tokens
    if not 1 <= longest <= LONGEST_ANSWER:
        raise ConfigError(f"an answer can have 1 to {LONGEST_ANSWER:,} tokens here, not {longest:,}.")
    extras = values.get("extras") or []
    temperature = _number(values.get("temperature"), "temperature") or 0.0
    if not 0 <= temperature <= 2:
        raise ConfigError(f"the temperature can be 0 to 2, not {temperature:g}.")
    return Settings(
        compression=None if ratio == AUTO else _whole(ratio, "compression"),
        # The default is not a cap of its own: leaving it out keeps requests plain.
        max_frames=None if max_frames == FEW_FRAMES else max_frames,
        max_pixels=None if side is None or side >= widest else side * side,
        focus=(values.get("focus") or "").strip() or None,
        fps=_number(values.get("fps"), "frames a second"),
        detail="low" if values.get("detail") == "low" else None,
        timestamps="timestamps" in extras,
        keyframes="keyframes" in extras,
        tokens=_whole(values.get("tokens"), "the budget's visual tokens"),
        memory=_number(values.get("memory"), "the budget's memory"),
        seconds=_number(values.get("seconds"), "the budget's seconds"),
        prompt_style=values.get("prompt_style") if values.get("prompt_style") in ("train", "eval") else None,
        max_new_tokens=longest,
        temperature=temperature,
    )


def values_by_name(values: Sequence[Any]) -> dict[str, Any]:
    """The values of one setting's controls."""
    return dict(zip(NAMES, values, strict=True))


def widest_side(rule: ResizeRule | None) -> int:
    """Side of the square whose area no view exceeds, under a resize rule (None: the published one)."""
    rule = rule or ResizeRule()
    return math.isqrt(max(rule.native_area, rule.video_max_area))


def _number(value: Any, name: str) -> float | None:
    if value is None or value == "":
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ConfigError(f"{name} must be a number, not {value!r}.") from None
    if not math.isfinite(number):
        raise ConfigError(f"{name} must be a number, not {value!r}.")
    return number


def _whole(value: Any, name: str) -> int | None:
    number = _number(value, name)
    if number is None:
        return None
    if number != int(number):
        raise ConfigError(f"{name} must be a whole number, not {number:g}.")
    return int(number)
