"""Conversations from files in the LLaVA layout: a JSON list of records, or JSONL with one record a line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oryx.errors import ConfigError, MediaError
from oryx.media.image import image_size
from oryx.processing.geometry import IMAGE, ResizeRule, image_views
from oryx.processing.visuals import EncodedVisual, encode_visual, visual_type

# Keys of a visual dict that name media, and so are relative to the media root.
_MEDIA_KEYS = ("image", "video", "views", "path")


@dataclass(frozen=True)
class Record:
    """One training conversation of a file."""

    place: str
    """File and number, for error sentences."""
    visuals: list[dict[str, Any]]
    """Visual dicts of `encode_conversation`, media paths complete."""
    conversations: list[dict[str, Any]]
    """Turns of {"from", "value"}."""


def read_records(path: str | Path, media_root: str | Path | None = None) -> list[Record]:
    """All records of a file.

    A record has `conversations` and, for each `<image>` in them, one of `image` (a path or a list of paths),
    `video` (a path) and `visuals` (dicts of a type, a source and its dials).

    Raises:
        ConfigError: the file is missing, or a record has another form; the sentence names file and record.
    """
    path = Path(path)
    root = Path(media_root) if media_root is not None else path.parent
    entries = _read_entries(path)
    if not entries:
        raise ConfigError(f"{path} holds no records.")
    return [_as_record(entry, f"{path} record {number}", root) for number, entry in enumerate(entries)]


def measured_visual(visual: Mapping[str, Any], rule: ResizeRule) -> EncodedVisual:
    """The visual without its patches, to count its tokens. A picture's header is enough for that."""
    if visual_type(visual) != "image" or not isinstance(visual.get("image"), str | Path):
        return encode_visual(visual, rule)
    dials = {
        key: visual[key] for key in ("compression", "detail", "max_pixels") if visual.get(key) is not None
    }
    views = image_views(*image_size(visual["image"]), rule, **dials)
    return EncodedVisual(IMAGE, tuple(views), None)


def _read_entries(path: Path) -> list[Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"data.files: {path} does not exist.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"data.files: {path} cannot be read ({error}).") from None
    if text.lstrip().startswith("["):
        try:
            return json.loads(text)
        except ValueError as error:
            raise ConfigError(f"{path} is not valid JSON ({error}).") from None
    entries = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                entries.append(json.loads(line))
            except ValueError:
                raise ConfigError(f"{path} line {number} is not valid JSON.") from None
    return entries


def _as_record(entry: Any, place: str, root: Path) -> Record:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("conversations"), list):
        raise ConfigError(f'{place} must be an object with a list "conversations".')
    turns = entry["conversations"]
    if not turns or not all(isinstance(turn, Mapping) and {"from", "value"} <= set(turn) for turn in turns):
        raise ConfigError(f'{place}: each of its conversations must have "from" and "value".')
    visuals: list[Any] = list(entry.get("visuals") or [])
    for kind in ("image", "video"):
        if entry.get(kind) is not None:
            value = entry[kind]
            visuals += [
                {"type": kind, kind: item} for item in (value if isinstance(value, list) else [value])
            ]
    if not all(isinstance(visual, Mapping) for visual in visuals):
        raise ConfigError(f'{place}: "visuals" must be a list of objects.')
    return Record(place, [_with_root(visual, root, place) for visual in visuals], turns)


def _with_root(visual: Mapping[str, Any], root: Path, place: str) -> dict[str, Any]:
    rooted = dict(visual)
    for key in _MEDIA_KEYS:
        value = visual.get(key)
        if isinstance(value, str):
            rooted[key] = str(root / value)
        elif isinstance(value, Sequence):
            if not all(isinstance(item, str) for item in value):
                raise MediaError(f"{place}: {key!r} must be a path or a list of paths.")
            rooted[key] = [str(root / item) for item in value]
    return rooted
