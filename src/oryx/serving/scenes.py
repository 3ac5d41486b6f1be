"""The parts of a message, laid out as in training: line breaks behind visuals, pictures joined to scenes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from oryx.errors import ConfigError


def with_line_breaks(parts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A line break behind each visual that something follows, unless what follows begins with one.

    So a request's prompt is that of `oryx ask`, whichever way it comes.
    """
    out: list[dict[str, Any]] = []
    for part, following in zip(parts, [*parts[1:], None]):
        out.append(dict(part))
        is_visual = part["type"] != "text"
        if is_visual and following is not None and not following.get("text", "").startswith("\n"):
            out.append({"type": "text", "text": "\n"})
    return out


def as_scene(parts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """All pictures as views of one scene, where the first of them stands.

    Raises:
        ConfigError: a dial that views do not have, or that differs among them.
    """
    pictures = [part for part in parts if part["type"] == "image"]
    if not pictures:
        return [dict(part) for part in parts]
    dials: dict[str, Any] = {}
    for picture in pictures:
        for name, value in picture.items():
            if name in ("type", "image"):
                continue
            if name == "detail":
                raise ConfigError("views have no detail; compression and max_pixels are their dials.")
            if dials.setdefault(name, value) != value:
                raise ConfigError(f"views share their dials, but {name} differs among them.")
    scene = {"type": "views", "views": [picture["image"] for picture in pictures], **dials}
    first = next(index for index, part in enumerate(parts) if part is pictures[0])
    rest = [dict(part) for part in parts[first:] if part["type"] != "image"]
    return [*(dict(part) for part in parts[:first]), scene, *rest]
