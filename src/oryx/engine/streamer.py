"""An answer as it comes: whole words to whoever listens, and when the first token was there."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from transformers import TextStreamer


class AnswerStreamer(TextStreamer):
    """A streamer of `transformers` that gives whole words of the answer to `write`, if there is one."""

    def __init__(self, tokenizer: Any, write: Callable[[str], None] | None = None) -> None:
        super().__init__(tokenizer, skip_prompt=True, skip_special_tokens=True)
        self.write = write
        self.first_token_at: float | None = None
        """On the clock of `time.perf_counter`."""
        self._is_prompt = True

    def put(self, value: Any) -> None:
        if not self._is_prompt and self.first_token_at is None:
            self.first_token_at = time.perf_counter()
        self._is_prompt = False
        if self.write is not None:
            super().put(value)

    def end(self) -> None:
        if self.write is not None:
            super().end()

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        if text and self.write is not None:
            self.write(text)
