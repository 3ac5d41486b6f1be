"""What went wrong in a worker, as the client is told."""

from __future__ import annotations

import re
from pathlib import Path

from oryx.errors import ConfigError, MediaError, OryxError
from oryx.serving.errors import RequestError

MAX_MESSAGE = 1000
"""Characters: a message may quote what the client sent."""
_OBJECT = re.compile(r" object at 0x[0-9a-fA-F]+")
_PATH = re.compile(r"(?<![\w./:])/(?:[^\s'\",;:()/]+/)+[^\s'\",;:()/]*")


class OutOfTime(BaseException):
    """The job has run for as long as one may."""


def refusal_of(error: BaseException, root: Path | None = None, max_seconds: float = 0.0) -> RequestError:
    """The `RequestError` for whatever a job raised.

    Args:
        root: the media root; paths below it are shown from there on, and no others.
    """
    if isinstance(error, RequestError):
        return error
    if isinstance(error, OutOfTime):
        return out_of_time(max_seconds)
    if isinstance(error, MemoryError) or "can't start new thread" in str(error):
        return out_of_memory()
    if isinstance(error, OryxError):
        code = "invalid_media" if isinstance(error, MediaError) else "invalid_request"
        is_context = isinstance(error, ConfigError) and "but the model reads at most" in str(error)
        code = "context_length_exceeded" if is_context else code
        return RequestError(_sentence(str(error), root), code=code, param="messages")
    return RequestError(
        "the request cannot be processed.", status=422, code="unprocessable", param="messages"
    )


def out_of_time(max_seconds: float) -> RequestError:
    return RequestError(
        f"the media of the request take longer to decode than the {max_seconds:g} s allowed: "
        "give smaller or shorter ones, or lower max_frames.",
        status=422,
        code="decoding_too_slow",
        param="messages",
    )


def out_of_memory() -> RequestError:
    return RequestError(
        "the media of the request take more memory to decode than is allowed: give smaller or fewer ones.",
        status=413,
        code="media_too_large",
        param="messages",
    )


def worker_died() -> RequestError:
    return RequestError(
        "the media of the request cannot be decoded: the decoder broke down over them.",
        status=422,
        code="unprocessable",
        param="messages",
    )


def _sentence(message: str, root: Path | None) -> str:
    if root is not None and str(root) != "/":
        for top in dict.fromkeys((str(root), str(root.resolve()))):
            message = message.replace(top + "/", "").replace(f"'{top}'", "the media root")
    message = _OBJECT.sub("", message)
    if root is None or str(root) != "/":
        message = _PATH.sub(lambda path: "a file of the server" + "." * path[0].endswith("."), message)
    if len(message) > MAX_MESSAGE:
        return message[:MAX_MESSAGE] + "..."
    return message if message.endswith(".") else message + "."
