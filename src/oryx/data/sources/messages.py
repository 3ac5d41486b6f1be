"""Chat messages, as `transformers` and OpenAI's clients write them, to turns and visuals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from oryx.data.sources.record import MEDIA_KEYS
from oryx.errors import ConfigError
from oryx.processing.markers import IMAGE_MARKER

# Types of parts that may stand for the next visual beside the messages, and the type of visual they want.
_KINDS = {
    **dict.fromkeys(("image", "image_url", "input_image"), "image"),
    **dict.fromkeys(("video", "video_url"), "video"),
    "views": "views",
}
_SPEAKERS = {"user": "human", "human": "human", "assistant": "gpt", "gpt": "gpt", "system": "system"}
_TEXT_TYPES = ("text", "input_text", "output_text")


def read_chat(
    messages: Any, beside: Sequence[Mapping[str, Any]]
) -> tuple[list[dict[str, Any]], list[Mapping[str, Any]]]:
    """Turns of {"from", "value"} and the visuals in their order.

    Args:
        messages: objects of role and content, a text or a list of parts. A part that names a medium is a
            visual dict; one that names none takes the next visual of its type from `beside`.
        beside: visual dicts that stand beside the messages. Those that no part takes belong to the
            `<image>` of the texts, or where there is none, in front of the first user's text.

    Raises:
        ConfigError: a message or a part of another form, or a part without a medium.
    """
    if not isinstance(messages, list | tuple) or not messages:
        raise ConfigError('"messages" must be a list of at least one message.')
    left = list(beside)
    texts: list[tuple[str, list[str | Mapping[str, Any]]]] = []
    for index, message in enumerate(messages):
        role = message.get("role") if isinstance(message, Mapping) else None
        speaker = _SPEAKERS.get(role) if isinstance(role, str) else None
        if speaker is None:
            raise ConfigError(f"message {index} must have the role user, assistant or system, and a content.")
        content = message.get("content")
        if content is not None and not isinstance(content, str | list | tuple):
            raise ConfigError(f"the content of message {index} must be a text or a list of parts.")
        parts = [content] if isinstance(content, str) else content or []
        texts.append(
            (
                speaker,
                [_read_part(part, f"part {n} of message {index}", left) for n, part in enumerate(parts)],
            )
        )
    return _place(texts, left)


def names_media(messages: Any) -> bool:
    """Whether a part of the messages, of whatever form they are, names a medium."""
    messages = messages if isinstance(messages, list) else []
    contents = [message.get("content") for message in messages if isinstance(message, Mapping)]
    parts = [part for content in contents if isinstance(content, list) for part in content]
    return any(isinstance(part, Mapping) and _names_medium(part) for part in parts)


def _names_medium(part: Mapping[str, Any]) -> bool:
    return any(part.get(key) is not None for key in (*MEDIA_KEYS, "base64"))


def _read_part(part: Any, where: str, left: list[Mapping[str, Any]]) -> str | Mapping[str, Any]:
    if isinstance(part, str):
        return part
    given = (
        {key: value for key, value in part.items() if value is not None} if isinstance(part, Mapping) else {}
    )
    kind = given.get("type")
    if kind in _TEXT_TYPES or (kind is None and "text" in given):
        if not isinstance(given.get("text"), str):
            raise ConfigError(f"{where} is text, but has none.")
        return given["text"]
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ConfigError(f"{where} must be text, image, video or views, not {kind!r}.")
    given.pop("text", None)  # tables give every part all keys; an empty text is no dial
    if _names_medium(given):
        return given
    place = next(
        (n for n, visual in enumerate(left) if _KINDS.get(str(visual.get("type"))) == _KINDS[kind]), None
    )
    if place is None:
        raise ConfigError(f"{where} is of type {kind}, but no medium is left for it.")
    return {**given, **left.pop(place)}


def _place(
    texts: list[tuple[str, list[str | Mapping[str, Any]]]], left: list[Mapping[str, Any]]
) -> tuple[list[dict[str, Any]], list[Mapping[str, Any]]]:
    """Turns with a marker for each visual; what is left takes the markers that the texts have."""
    if left and not any(
        IMAGE_MARKER in part for _, parts in texts for part in parts if isinstance(part, str)
    ):
        first = next((parts for speaker, parts in texts if speaker == "human"), texts[0][1])
        first[:0] = [item for visual in left for item in (visual, "\n")]
        left = []
    turns: list[dict[str, Any]] = []
    visuals: list[Mapping[str, Any]] = []
    for speaker, parts in texts:
        value = ""
        for part in parts:
            if isinstance(part, str):
                taken = part.count(IMAGE_MARKER)
                visuals += left[:taken]
                left = left[taken:]
                value += part
            else:
                visuals.append(part)
                value += IMAGE_MARKER
        turns.append({"from": speaker, "value": value})
    return turns, visuals + left  # too many visuals are an error that the processor words
