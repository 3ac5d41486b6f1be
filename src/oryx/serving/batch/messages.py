"""The parts of a message, as the processor takes them: what each visual is, and the path of its source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from mimetypes import guess_type
from pathlib import Path
from typing import Any

from oryx.errors import ConfigError
from oryx.media.image import is_animated, open_header
from oryx.media.views import list_views
from oryx.processing.markers import IMAGE_MARKER, with_markers
from oryx.processing.visuals import is_list, visual_dials, visual_source, visual_type
from oryx.serving.batch.places import Places

_TEXT_TYPES = ("text", "input_text", "output_text")
_MAYBE_ANIMATED = (".gif", ".webp", ".png", ".apng", ".avif")


def read_parts(parts: Sequence[Any], places: Places, message: int, is_scene: bool) -> list[dict[str, Any]]:
    """The parts of message number `message`.

    Raises:
        OryxError: a part of another form, an unknown type or dial, or a source that is not there.
    """
    read = [_part(part, places, message, number) for number, part in enumerate(parts)]
    return _as_scene(read) if is_scene else read


def question_parts(
    question: str, media: Sequence[str], places: Places, is_scene: bool, chooses_frames: bool
) -> list[dict[str, Any]]:
    """The media in front of the question, each with a line break, or where `<image>` stands for them.

    Args:
        is_scene: all pictures are views of one scene.
        chooses_frames: a folder holds the frames of a video, from which some are taken; else it is a scene.

    Raises:
        AlignmentError: `<image>` stands more or less often than there are media.
        MediaError: a source that is not there, an address, or data that do not decode.
    """
    visuals = [_visual(name, places, chooses_frames) for name in media]
    if is_scene and visuals:
        pictures = [picture for visual in visuals for picture in _pictures(visual)]
        visuals = [{"type": "views", "views": pictures}]
    parts: list[dict[str, Any]] = []
    waiting = iter(visuals)
    for number, text in enumerate(with_markers(question, len(visuals)).split(IMAGE_MARKER)):
        if number:
            parts.append(next(waiting))
        if text:
            parts.append({"type": "text", "text": text})
    return parts


def with_line_breaks(parts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A line break behind each visual, as in training, unless the text that follows begins with one.

    `oryx serve` does the same, so that a request costs the same and is answered alike.
    """
    out: list[dict[str, Any]] = []
    for part, following in zip(parts, [*parts[1:], None]):
        out.append(dict(part))
        is_visual = part["type"] != "text"
        if is_visual and following is not None and not following.get("text", "").startswith("\n"):
            out.append({"type": "text", "text": "\n"})
    return out


def _part(part: Any, places: Places, message: int, number: int) -> dict[str, Any]:
    place = f"part {number} of message {message}"
    if isinstance(part, str):
        return {"type": "text", "text": part}
    if not isinstance(part, Mapping):
        raise ConfigError(f"{place} must be text or an object.")
    if part.get("type") in _TEXT_TYPES:
        if not isinstance(part.get("text"), str):
            raise ConfigError(f"{place} has no text.")
        return {"type": "text", "text": part["text"]}
    kind = visual_type(part)
    dials = visual_dials(part)
    source = visual_source(part, kind)
    named = part.get("image_url")
    if kind == "image" and isinstance(named, Mapping) and named.get("detail", "auto") != "auto":
        dials["detail"] = named["detail"]
    if isinstance(dials.get("subtitles"), str):
        dials["subtitles"] = places.path(dials["subtitles"])
    return {"type": kind, kind: _located(source, kind, places, place), **dials}


def _located(source: Any, kind: str, places: Places, place: str) -> Any:
    """Bytes as they are, and paths where they are; of a list each item."""
    if is_list(source) and kind != "image":
        return [_located(visual_source({"image": item}, "image"), "image", places, place) for item in source]
    if isinstance(source, bytes):
        return source
    if not isinstance(source, str) or not source:
        raise ConfigError(f"the source of {place} must be a path.")
    return places.path(source)


def _visual(name: str, places: Places, chooses_frames: bool) -> dict[str, Any]:
    """A visual of what a path leads to. Videos are not opened here, where a broken one could end the run."""
    if name.startswith("data:"):
        kind = "video" if name.startswith("data:video/") else "image"
        return {"type": kind, kind: visual_source({kind: name}, kind)}
    path = places.path(visual_source({"video": name}, "video"))
    if path.is_dir():
        kind = "video" if chooses_frames else "views"
    else:
        kind = _kind_of_file(path)
    return {"type": kind, kind: path}


def _pictures(visual: Mapping[str, Any]) -> list[Any]:
    """The pictures of a picture or a folder of them."""
    if visual["type"] == "video":
        raise ConfigError("views are pictures and folders of pictures; a video is among them.")
    return list_views(visual["views"]) if visual["type"] == "views" else [visual["image"]]


def _kind_of_file(path: Path) -> str:
    """ "image" or "video", by the ending; where that does not tell, by whether Pillow knows the header."""
    guess = (guess_type(path.name)[0] or "").partition("/")[0]
    if guess == "image" and path.suffix.lower() not in _MAYBE_ANIMATED:
        return "image"
    if guess == "image":
        return "video" if is_animated(path) else "image"
    if guess == "video":
        return "video"
    try:
        with open_header(path):
            return "image"
    except Exception:
        return "video"  # whose reader says what is wrong if it is neither


def _as_scene(parts: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """All pictures as views of one scene, where the first of them stands."""
    pictures = [part for part in parts if part["type"] == "image"]
    if not pictures:
        return list(parts)
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
    rest = [part for part in parts[first:] if part["type"] != "image"]
    return [*parts[:first], scene, *rest]
