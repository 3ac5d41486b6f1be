"""Requests to prompts, away from the server's process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


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
