"""lmms-eval's chat messages as ours.

lmms-eval puts pictures and videos in front of the question and nothing between. The reference's adapters
write `<image>` for each, a space between them, and a new line before the question, and models were measured
so; pictures that stand inside a text keep their places with nothing added.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from oryx.errors import ConfigError
from oryx.evaluation.lmms.settings import SeveralImages
from oryx.processing.visuals import DIALS

_VIDEO_SPAN = ("start_time", "end_time", "video_start", "video_end")


def read_messages(messages: Sequence[Any], several_images: SeveralImages = "images") -> list[dict[str, Any]]:
    """Chat messages for `OryxProcessor.encode_messages`, without dials.

    Args:
        messages: `{"role": ..., "content": text | [part, ...]}`; a part is lmms-eval's `{"type": "text",
            "text": ...}` or `{"type": "image" | "video", "url": ...}`, or ours, `{"type": "views", "views":
            [...]}`. A visual may set dials of its own.
        several_images: what two or more pictures of one message are.

    Raises:
        ConfigError: a part that the model has no ears for, or of an unknown form.
    """
    return [_read_message(message, several_images) for message in messages]


def media_paths(messages: Sequence[Any]) -> list[str]:
    """Files and folders that the messages of `read_messages` name."""
    paths: list[str] = []
    for message in messages:
        for part in message["content"]:
            source = part.get(part["type"])
            for one in source if isinstance(source, list) else [source]:
                if part["type"] != "text" and isinstance(one, str):
                    paths.append(one)
    return paths


def _read_message(message: Any, several_images: SeveralImages) -> dict[str, Any]:
    if not isinstance(message, Mapping) or "role" not in message or "content" not in message:
        raise ConfigError(f'a message must be {{"role": ..., "content": ...}}, not {message!r}.')
    content = message["content"]
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else [_read(p) for p in content]
    if several_images != "images":
        parts = _gather(parts, several_images)
    return {"role": message["role"], "content": _spaced(parts)}


def _read(part: Any) -> dict[str, Any]:
    kind = part.get("type") if isinstance(part, Mapping) else None
    if kind == "text":
        return {"type": "text", "text": part["text"]}
    if kind == "audio" and str(part.get("url")).lower().endswith(".webm"):
        kind = "video"  # lmms-eval takes every .webm for sound
    dials = {name: value for name, value in part.items() if name in DIALS} if kind else {}
    if kind == "views":
        return {"type": "views", "views": list(part["views"]), **dials}
    if kind not in ("image", "video"):
        raise ConfigError(f"the task shows a part of type {kind!r}; allowed: text, image, video, views.")
    source = part.get("url")
    nested = source if isinstance(source, Mapping) else {}
    if any(part.get(key) is not None or nested.get(key) is not None for key in _VIDEO_SPAN):
        raise ConfigError("the task shows a span of a video, which is not supported: cut the video first.")
    if nested:
        source = nested.get("url") or nested.get("path") or nested.get(kind)
    return {"type": kind, kind: source, **dials}


def _gather(parts: list[dict[str, Any]], several_images: SeveralImages) -> list[dict[str, Any]]:
    """Two or more pictures as one visual, where the first of them stands."""
    pictures = [part["image"] for part in parts if part["type"] == "image"]
    if len(pictures) < 2:
        return parts
    first = next(index for index, part in enumerate(parts) if part["type"] == "image")
    rest = [part for part in parts[first:] if part["type"] != "image"]
    return [*parts[:first], {"type": several_images, several_images: pictures}, *rest]


def _spaced(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    num_leading = next((index for index, part in enumerate(parts) if part["type"] == "text"), len(parts))
    out: list[dict[str, Any]] = []
    for index, part in enumerate(parts):
        if 0 < index < num_leading:
            out.append({"type": "text", "text": " "})
        if 0 < index == num_leading:
            part = {"type": "text", "text": "\n" + part["text"]}
        out.append(part)
    return out
