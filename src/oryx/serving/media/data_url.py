"""`data:` URLs: media that come with the request."""

from __future__ import annotations

import base64
import binascii

from oryx.serving.errors import RequestError
from oryx.serving.media.room import Room

MAX_HEADER = 256
"""Characters between "data:" and the comma."""


def is_data_url(source: str) -> bool:
    """Whether a source is one, whatever its case."""
    return source[:5].lower() == "data:"


def decode_data_url(source: str, room: Room) -> bytes:
    """The bytes of `data:[<media type>][;...];base64,<text>`. What the media type says is not looked at.

    Raises:
        RequestError: no base64, text that is not strictly base64, no bytes at all; or more than there is room
            for, judged by the length of the text before it is decoded.
    """
    comma = source.find(",", 5, 5 + MAX_HEADER)
    if comma < 0 or not source[5:comma].lower().rstrip().endswith(";base64"):
        raise _refusal("a data: URL must be data:<media type>;base64,<text>.")
    num_characters = len(source) - comma - 1
    room.check(num_characters // 4 * 3 - 2)  # two may be padding
    try:
        data = base64.b64decode(source[comma + 1 :], validate=True)
    except (binascii.Error, ValueError):
        allowed = "letters, digits, + and /, filled up with = to a multiple of four"
        raise _refusal(f"the text of a data: URL is not base64 ({allowed}).") from None
    if not data:
        raise _refusal("a data: URL holds no bytes; a picture or a video is needed.")
    room.take(len(data))
    return data


def _refusal(message: str) -> RequestError:
    return RequestError(message, code="invalid_data_url", param="messages")
