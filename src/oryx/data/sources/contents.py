"""A record with its media read, as an entry of LLaVA's layout: what packing writes."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from oryx.data.sources.media import Frames, Slice, is_folder
from oryx.data.sources.record import Record
from oryx.errors import ConfigError, MediaError
from oryx.media.image import open_file
from oryx.media.subtitles import find_subtitles, read_subtitles
from oryx.media.views import list_views
from oryx.processing.visuals import visual_dials, visual_source, visual_type


@dataclass(frozen=True)
class Stored:
    """A medium that was read, with the ending of its name."""

    data: bytes
    suffix: str


class Row(tuple[Stored, ...]):
    """Frames of one video, to be kept as one place."""


def read_media(record: Record) -> dict[str, Any]:
    """The record as an entry of LLaVA's layout, its media read; what else it says is kept as it is."""
    entry: dict[str, Any] = {"id": record.id} if record.id is not None and _is_json(record.id) else {}
    entry |= {key: value for key, value in record.beside.items() if _is_json(key, value)}
    needle = record.needle
    if needle is not None:
        return {
            **entry,
            "video_long": _read_video(needle.video),
            "idx": list(needle.targets),
            "type": needle.task,
            "question": needle.question,
            "answer": needle.answer,
        }
    visuals = [_read_visual(visual) for visual in record.visuals]
    plain = [visual for visual in visuals if set(visual) == {"type", visual["type"]}]
    kinds = {visual["type"] for visual in visuals}
    # The published keys where they say all there is.
    if len(plain) == len(visuals) and kinds == {"image"}:
        pictures = [visual["image"] for visual in visuals]
        entry["image"] = pictures[0] if len(pictures) == 1 else pictures
    elif len(plain) == len(visuals) == 1 and kinds == {"video"} and isinstance(visuals[0]["video"], Row):
        entry["video"] = visuals[0]["video"]
    elif visuals:
        entry["visuals"] = visuals
    return {**entry, "conversations": [_plain_turn(turn) for turn in record.conversations]}


def _plain_turn(turn: Mapping[str, Any]) -> dict[str, Any]:
    if not _is_json(turn.get("from"), turn.get("value")):
        raise ConfigError("a turn of its conversation holds no text.")
    return {key: value for key, value in turn.items() if _is_json(key, value)}


def _is_json(*values: Any) -> bool:
    """Whether a JSON file can hold them; tables also know dates and bytes."""
    try:
        json.dumps(values, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError):  # ValueError: half a character
        return False
    return True


def _read_visual(visual: Mapping[str, Any]) -> dict[str, Any]:
    kind = visual_type(visual)
    source = visual_source(visual, kind)
    dials = visual_dials(visual)
    if dials.get("marks"):
        dials["marks"] = [asdict(mark) for mark in dials["marks"]]
    if dials.get("subtitles"):
        dials["subtitles"] = _read_subtitles(dials["subtitles"], source)
    media: Any
    if kind == "image":
        media = _read(source)
    elif kind == "video":
        media = _read_video(source)
    else:
        media = [_read(view) for view in (list_views(source) if isinstance(source, str) else source)]
    return {"type": kind, kind: media, **dials}


def _read_video(source: Any) -> Any:
    """A file, a row of frames of which some are chosen, or a list of frames that is used as it is."""
    if is_folder(source):
        return Row(_read(frame) for frame in list_views(source))
    if isinstance(source, Frames):
        return Row(_read(frame) for frame in source)
    if isinstance(source, list):
        return [_read(frame) for frame in source]
    return _read(source, ".mp4")


def _read(medium: Any, otherwise: str = ".png") -> Stored:
    if isinstance(medium, Slice):
        return Stored(medium.read(), _suffix(medium.name, otherwise))
    if isinstance(medium, bytes):
        return Stored(medium, otherwise)
    if isinstance(medium, Image.Image):
        buffer = io.BytesIO()
        medium.save(buffer, "PNG")
        return Stored(buffer.getvalue(), ".png")
    with open_file(medium, "a medium") as file:
        return Stored(file.read(), _suffix(str(medium), otherwise))


def _suffix(name: str, otherwise: str) -> str:
    return Path(name).suffix.lower() or otherwise


def _read_subtitles(subtitles: Any, source: Any) -> Sequence[Any]:
    if subtitles is True:
        subtitles = find_subtitles(source) if isinstance(source, str) else None
        if subtitles is None:
            raise MediaError(f"there is no .srt or .vtt file beside {source}")
    entries = read_subtitles(subtitles) if isinstance(subtitles, str | Path) else subtitles
    return [entry if isinstance(entry, str) else asdict(entry) for entry in entries]
