"""Conversations from files in the LLaVA layout: a JSON list of records, or JSONL with one record a line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oryx.data.marks import Mark
from oryx.errors import ConfigError, MediaError
from oryx.media.subtitles import Subtitle
from oryx.processing.budget import Planner
from oryx.processing.forecast import forecast_visual
from oryx.processing.geometry import ResizeRule
from oryx.processing.visuals import EncodedVisual, open_visual, visual_source, visual_type
from oryx.training.fields import build

# Keys of a visual dict that name media, and so are relative to the media root.
_MEDIA_KEYS = ("image", "video", "views", "path", "url", "image_url", "input_image", "video_url")
# What starts so is no path below the root: it is the medium itself, or stands somewhere else.
_SCHEMES = ("data:", "file://", "http://", "https://")


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
    `video` (a path) and `visuals` (dicts of a type, a source and its dials). Subtitles that are written out
    are texts or objects of start, end and text; marks are objects of view, y, x and text.

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
    """The visual without its patches, to count its tokens. The headers of its files are enough for that."""
    (visual,) = Planner(rule).spend([visual])
    if isinstance(visual_source(visual, visual_type(visual)), list):
        open_visual(visual, rule)  # pictures are opened when they are asked for: this checks the dials alone
    seen = forecast_visual(visual, rule)
    return EncodedVisual(seen.layout, seen.views, None, seen.note)


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
    return Record(place, [_as_visual(visual, root, place) for visual in visuals], turns)


def _as_visual(visual: Mapping[str, Any], root: Path, place: str) -> dict[str, Any]:
    """The visual dict with its media below the root, and its marks and subtitles as what they are."""
    made = dict(visual)
    for key in _MEDIA_KEYS:
        value = visual.get(key)
        if isinstance(value, str):
            made[key] = _below(root, value)
        elif isinstance(value, Mapping) and isinstance(value.get("url"), str):
            made[key] = _below(root, value["url"])
        elif isinstance(value, Sequence):
            if not all(isinstance(item, str) for item in value):
                raise MediaError(f"{place}: {key!r} must be a path or a list of paths.")
            made[key] = [_below(root, item) for item in value]
    if visual.get("marks") is not None:
        made["marks"] = _as_marks(visual["marks"], place)
    subtitles = visual.get("subtitles")
    if isinstance(subtitles, str):
        made["subtitles"] = _below(root, subtitles)
    elif subtitles is not None and not isinstance(subtitles, bool):
        made["subtitles"] = _as_subtitles(subtitles, place)
    return made


def _below(root: Path, path: str) -> str:
    return path if path.startswith(_SCHEMES) else str(root / path)


def _as_marks(entries: Any, place: str) -> list[Mark]:
    if not isinstance(entries, list):
        raise ConfigError(f'{place}: "marks" must be a list of objects with view, y, x and text.')
    marks = [
        build(Mark, entry, lambda key: f"{place}: {key}", f"marks[{number}]")
        for number, entry in enumerate(entries)
    ]
    for number, mark in enumerate(marks):
        if not (0 <= mark.y <= 1 and 0 <= mark.x <= 1):
            raise ConfigError(
                f"{place}: marks[{number}] is at y {mark.y:g} and x {mark.x:g}; both must be from 0 to 1."
            )
    return marks


def _as_subtitles(entries: Any, place: str) -> list[str | Subtitle]:
    if not isinstance(entries, list):
        raise ConfigError(f'{place}: "subtitles" must be true, a path, or a list of texts or objects.')
    return [
        entry
        if isinstance(entry, str)
        else build(Subtitle, entry, lambda key: f"{place}: {key}", f"subtitles[{number}]")
        for number, entry in enumerate(entries)
    ]
