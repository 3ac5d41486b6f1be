"""What `--model_args` may say, checked before anything is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from oryx.errors import ConfigError
from oryx.processing.budget import Budget
from oryx.processing.chat import PromptStyle, check_prompt_style
from oryx.processing.dials import check_dials

SeveralImages = Literal["images", "video", "views"]
_DIALS = ("compression", "detail", "max_frames", "fps", "max_pixels", "focus")
_FROM_LMMS_EVAL = ("max_batch_size",)
"""Handed over by lmms-eval whether it was asked for or not."""


@dataclass(frozen=True)
class PluginSettings:
    """The arguments of the model, as in `--model_args model=nano,compression=4`."""

    model: str = "nano"
    """"nano", a folder, or a hub id."""
    vision_tower: str | None = None
    """`oryx_vit.pth`, for a checkpoint that holds no tower."""
    quantize: str | None = None
    """"int8" or "int4"."""
    dtype: str = "auto"
    device: str = "auto"
    """With several processes each takes an accelerator of its own, unless one is named."""
    attn_implementation: str | None = None
    batch_size: int = 1
    """Prompts generated together."""
    prompt_style: PromptStyle = "eval"
    """"eval", the reference's lmms-eval adapters, or "train", the 7B's own scripts."""
    compression: int | None = None
    detail: str | None = None
    max_frames: int | None = None
    fps: float | None = None
    max_pixels: int | None = None
    focus: str | None = None
    budget: str | None = None
    """What the visuals of one prompt may cost together: 4096 (visual tokens), 2GB or 5s."""
    several_images: SeveralImages = "images"
    """What several pictures of one message are: pictures, the frames of one video, or views of one scene."""
    missing: Literal["error", "skip"] = "error"
    """Media that are missing or unreadable: end the run, or go on and count their questions as wrong."""
    too_long: Literal["error", "skip"] = "error"
    """Prompts longer than the model reads: end the run, or go on and count their questions as wrong."""
    duplicates: Literal["error", "keep"] = "error"
    """Ids that a benchmark lists twice: end the run before it starts, or answer both."""
    log_prompts: str | None = None
    """A file that every prompt is appended to, as JSON lines of task, doc_id and prompt."""

    def __post_init__(self) -> None:
        check_prompt_style(self.prompt_style)
        for name in ("batch_size", "max_frames", "max_pixels"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} is {value}; it must be at least 1.")
        check_dials(self.compression, self.detail, self.max_frames, self.fps, self.max_pixels, self.focus)
        Budget.parse(self.budget)

    @classmethod
    def parse(cls, arguments: Mapping[str, Any]) -> PluginSettings:
        """The settings from what lmms-eval read out of `--model_args`, `--batch_size` and `--device`.

        lmms-eval turns digits into numbers, so a text may arrive as a number and a number as a text.

        Raises:
            ConfigError: an argument that is unknown, of the wrong type or out of range.
        """
        hints = get_type_hints(cls)
        known = [field.name for field in fields(cls)]
        values: dict[str, Any] = {}
        for name, value in arguments.items():
            if name in _FROM_LMMS_EVAL:
                continue
            if name not in known:
                raise ConfigError(f"model_args has no {name!r}; allowed: {', '.join(known)}.")
            if value is not None:
                values[name] = _convert(name, value, hints[name])
        return cls(**values)

    @property
    def dials(self) -> dict[str, Any]:
        """The dials that were turned, as keys of a visual."""
        return {name: value for name in _DIALS if (value := getattr(self, name)) is not None}


def _convert(name: str, value: Any, hint: Any) -> Any:
    choices = get_args(hint)
    if get_origin(hint) is Literal:
        if value not in choices:
            raise ConfigError(f"{name} is {value!r}; allowed: {', '.join(choices)}.")
        return value
    kind = next((choice for choice in choices if choice is not type(None)), hint)
    if kind is str:
        # Only texts that look like numbers were turned into numbers: 4096 as a budget, 7 as a folder.
        return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    try:
        if isinstance(value, bool):
            raise ValueError
        number = kind(value)
    except (TypeError, ValueError):
        number = None
    if number is None or (kind is int and float(value) != number):
        what = "a whole number" if kind is int else "a number"
        raise ConfigError(f"{name} is {value!r}; it must be {what}.")
    return number
