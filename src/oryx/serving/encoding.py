"""Requests to prompts, away from the server's process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from oryx.errors import ConfigError
from oryx.media.limits import WEB_FORMATS


@dataclass(frozen=True)
class EncodingJob:
    """One request as the processor takes it."""

    messages: tuple[Mapping[str, Any], ...]
    """Chat messages of `OryxProcessor.apply_chat_template`. The source of every visual is bytes, or a path
    that the server has opened to its clients; never an address."""
    dials: Mapping[str, Any] = field(default_factory=dict)
    """For visuals that do not set them: `compression`, `max_frames`, `fps`, `max_pixels`, `focus`, ..."""
    budget: Any = None
    """What all visuals may cost together: visual tokens, "2GB" or "5s"."""
    prompt_style: str | None = None
    """"train" or "eval"; None for the model's own."""
    continue_final_message: bool = False
    """Whether the last message is the beginning of the answer."""


@dataclass(frozen=True)
class EncodingLimits:
    """What one request may take in its worker."""

    max_seconds: float = 60.0
    """To decode its media and to encode it, by the clock."""
    max_memory: int = 2 * 2**30
    """Bytes, beside what an idle worker has."""
    max_total_bytes: int = 256 * 2**20
    """Bytes of all media that come with the job."""
    max_visuals: int = 64
    """Pictures, videos and sets of views."""
    max_frames: int = 2048
    """Frames and views that are read, over all videos and sets of views."""
    max_pixels: int = 64_000_000
    """Height times width of a picture or a frame as it is stored: above, it is refused from its header."""
    max_patches: int = 2**19
    """Patches that the visuals become, however few tokens are made of them."""
    max_positions: int | None = None
    """Of the prompt, answer not included; None for as many as the model reads."""
    formats: tuple[str, ...] = WEB_FORMATS
    """Pillow's names of the picture formats that are read."""

    def __post_init__(self) -> None:
        for limit in fields(self):
            value = getattr(self, limit.name)
            if isinstance(value, int | float) and value <= 0:
                raise ConfigError(f"{limit.name} must be above 0, not {value!r}.")
