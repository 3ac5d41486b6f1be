"""Answers in OpenAI's shapes."""

from __future__ import annotations

import json
import time
from typing import Any

from oryx.serving.errors import RequestError
from oryx.serving.http.record import Record

END_OF_STREAM = b"data: [DONE]\n\n"


def usage(record: Record) -> dict[str, Any]:
    """Tokens of a request. `prompt_tokens` are all positions, of which `visual_tokens` are visual."""
    return {
        "prompt_tokens": record.prompt_tokens,
        "completion_tokens": record.generated_tokens,
        "total_tokens": record.prompt_tokens + record.generated_tokens,
        "prompt_tokens_details": {"visual_tokens": record.visual_tokens},
    }


def completion(record: Record, model: str, text: str, finish_reason: str | None) -> dict[str, Any]:
    """A whole answer."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text, "refusal": None},
        "logprobs": None,
        "finish_reason": finish_reason,
    }
    return _head(record, model, "chat.completion") | {"choices": [choice], "usage": usage(record)}


class Chunks:
    """The events of one streamed answer.

    Args:
        with_usage: a last chunk tells the tokens, and those before say that they do not.
    """

    def __init__(self, record: Record, model: str, with_usage: bool) -> None:
        self.record = record
        self.with_usage = with_usage
        self._head = _head(record, model, "chat.completion.chunk")
        self._nothing = {"usage": None} if with_usage else {}

    def role(self) -> bytes:
        """The first event, which says who speaks."""
        return self._event({"role": "assistant", "content": ""}, None)

    def text(self, text: str) -> bytes:
        """A stretch of the answer."""
        return self._event({"content": text}, None)

    def end(self, finish_reason: str | None) -> bytes:
        """The end of the answer, its tokens if they are wanted, and the end of the stream."""
        last = self._event({}, finish_reason)
        if self.with_usage:
            last += event(self._head | {"choices": [], "usage": usage(self.record)})
        return last + END_OF_STREAM

    def _event(self, delta: dict[str, Any], finish_reason: str | None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return event(self._head | {"choices": [choice]} | self._nothing)


def event(value: dict[str, Any]) -> bytes:
    """One server-sent event."""
    return (
        b"data: "
        + json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
        + b"\n\n"
    )


def error_event(error: RequestError) -> bytes:
    """An error in the midst of a stream, as OpenAI's clients read it."""
    return event(error.to_dict())


def model_card(name: str, created: int, max_positions: int) -> dict[str, Any]:
    """An entry of `/v1/models`; `created` in seconds since 1970, `max_positions` 0 while it is not known."""
    return {
        "id": name,
        "object": "model",
        "created": created,
        "owned_by": "oryx",
        "max_model_len": max_positions or None,
    }


def _head(record: Record, model: str, kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{record.id}", "object": kind, "created": int(time.time()), "model": model}
