"""A captioner behind an address: any endpoint that speaks the OpenAI chat protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from oryx.endpoint import ChatEndpoint, EndpointError, media_part
from oryx.errors import CaptionError, ConfigError


@dataclass
class OpenAICaptioner(ChatEndpoint):
    """The model of an endpoint, asked to describe."""

    max_tokens: int = 400
    workers: int = 4
    is_deterministic: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.workers < 1 or self.max_tokens < 1:
            raise ConfigError("timeout, workers and max_tokens of a captioner must be above 0.")

    def connect(self) -> list[dict[str, Any]]:
        """See `ChatEndpoint`; nothing is asked of a server whose model was named."""
        return super().connect() if self.model is None else []

    def describe(self, pictures: Sequence[bytes], prompt: str) -> str:
        """See `Captioner`."""
        content = [
            *(media_part("image", "image/jpeg", jpeg) for jpeg in pictures),
            {"type": "text", "text": prompt},
        ]
        try:
            reply = self.chat(content, self.max_tokens)
        except EndpointError as error:
            raise CaptionError(str(error), error.is_outage, error.wait) from None
        if reply.is_cut_off:
            problem = f"{self.base_url} did not come to an end: its answer was cut off"
            raise CaptionError(f"{problem} at {self.max_tokens} tokens (--max-tokens)", False, kind="cut off")
        return reply.text
