"""Visuals to patches: opened, resized by the rule, and cut into packed `uint8` rows, one view at a time."""

import base64
import itertools
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from PIL import Image

from oryx.data.marks import Mark
from oryx.errors import ConfigError, MediaError
from oryx.media.focus import AUTO, SPENT_AUTO, parse_focus
from oryx.processing.geometry import (
    IMAGE,
    VIDEO,
    ResizeRule,
    View,
    check_compression,
    frame_view,
    icon_size,
    image_views,
    native_size,
    nearest,
    num_visual_tokens,
)
from oryx.processing.pixels import map_ahead, patchify, region_means, resize, resize_fast

if TYPE_CHECKING:
    from oryx.media.video import Clip

_COMMON = ("type", "compression", "max_pixels", "max_visual_tokens", "marks")
_SOURCES = {
    "image": ("image", "url", "path", "base64"),
    "video": ("video", "url", "path"),
    "views": ("views",),
}
_DIALS = {
    "image": ("detail", "fast_resize"),
    "video": ("max_frames", "fps", "focus", "keyframes", "fast_resize", "subtitles", "timestamps"),
    "views": ("fast_resize",),
}
DIALS = tuple(dict.fromkeys(dial for dial in (*_COMMON[1:-1], *(d for own in _DIALS.values() for d in own))))
"""Every dial that a request may turn for all of its visuals."""
# What OpenAI-style clients call the same parts.
_ALIASES = {"image_url": "image", "input_image": "image", "video_url": "video"}

Frames: TypeAlias = Generator[Image.Image, None, None]

FEW_FRAMES = 64
"""Videos of up to this many frames are compressed 4x unless told otherwise, longer ones 16x."""


@dataclass(frozen=True)
class EncodedVisual:
    """A visual ready for the tower. It may stand in for the visual dict it was made from."""

    kind: int
    """IMAGE or VIDEO (the layout of its tokens)."""
    views: tuple[View, ...]
    patches: np.ndarray | None
    """(P, 3 * p * p) uint8, the views' patches in order; None if its embeddings are supplied instead."""
    note: str = ""
    """Lines for the prompt: frame times, subtitles."""
    marks: tuple[Mark, ...] = ()

    @property
    def num_tokens(self) -> int:
        """Positions of the visual in the sequence."""
        return num_visual_tokens(self.kind, self.views)


@dataclass(frozen=True)
class VisualStream:
    """An opened visual whose views are read, resized and cut one at a time."""

    kind: int
    num_views: int
    """An upper bound for a video whose file may hold fewer frames than it says."""
    views: Iterator[tuple[View, np.ndarray]]
    """Pairs of a view and its (num_patches, 3 * p * p) uint8 patches."""
    note: str = ""
    marks: tuple[Mark, ...] = ()
    times: Sequence[float] | None = None
    """Seconds of each frame; None where frames have none."""
    num_tokens: int | None = None
    """Positions of all views; None where only opening them tells their sizes."""


def visual_type(visual: Any) -> str:
    """ "image", "video" or "views". An unknown type or key raises ConfigError with the nearest known one."""
    if isinstance(visual, EncodedVisual):
        return "image" if visual.kind == IMAGE else "video"
    if not isinstance(visual, Mapping):
        raise ConfigError(
            f'a visual must be a dict such as {{"type": "image", "image": ...}}, not {type(visual).__name__}.'
        )
    name = visual.get("type")
    if name is None:
        name = next((name for name in _SOURCES if name in visual), None)
    kind = _ALIASES.get(name, name) if isinstance(name, str) else name
    if not isinstance(kind, str) or kind not in _SOURCES:
        raise ConfigError(f"a visual's type cannot be {name!r}; {nearest(name, list(_SOURCES))}.")
    known = (*_COMMON, *_SOURCES[kind], *_DIALS[kind], *([str(name)] if name != kind else []))
    for key in visual:
        if key not in known:
            raise ConfigError(f"a visual of type {kind!r} has no key {key!r}; {nearest(key, known)}.")
    return kind


def with_dials(visual: Any, dials: Mapping[str, Any]) -> Any:
    """The visual with each dial that its type has and that it does not set itself."""
    if not dials or isinstance(visual, EncodedVisual):
        return visual
    kind = visual_type(visual)
    known = (*_COMMON, *_DIALS[kind])
    added = {key: value for key, value in dials.items() if key in known and visual.get(key) is None}
    return {**visual, **added}


def visual_dials(visual: Mapping[str, Any]) -> dict[str, Any]:
    """The dials that a visual dict sets: everything but its type and its source."""
    known = (*_COMMON, *_DIALS[visual_type(visual)])
    return {key: visual[key] for key in known if key != "type" and visual.get(key) is not None}


def kinds_with_dial(dial: str) -> list[str]:
    """The types of visuals that have this dial."""
    return [kind for kind, own in _DIALS.items() if dial in (*_COMMON, *own)]


def encode_visual(visual: Any, rule: ResizeRule) -> EncodedVisual:
    """All patches of a visual dict; see `open_visual` for its errors."""
    if isinstance(visual, EncodedVisual):
        return visual
    stream = open_visual(visual, rule)
    views, patches = zip(*stream.views)
    rows = patches[0] if len(patches) == 1 else np.concatenate(patches)
    return EncodedVisual(stream.kind, tuple(views), rows, stream.note, stream.marks)


def open_visual(visual: Mapping[str, Any] | EncodedVisual, rule: ResizeRule) -> VisualStream:
    """Opens a visual dict. Frames are decoded as they are asked for and not kept, so memory stays flat.

    Raises:
        ConfigError: an unknown key, a dial out of range, or a list of ratios unlike the number of frames.
        MediaError: a source that is missing or cannot be read.
    """
    if isinstance(visual, EncodedVisual):
        return _encoded_stream(visual)
    kind = visual_type(visual)
    source = visual_source(visual, kind)
    marks = tuple(visual.get("marks") or ())
    if kind == "image":
        views = _image_stream(source, visual, rule)
        return VisualStream(IMAGE, 1 if visual.get("detail") == "low" else 2, views, marks=marks)
    frames, num_frames, times, size = _open_frames(kind, source, visual)
    is_fast, max_pixels = check_switch(visual, "fast_resize"), visual.get("max_pixels")
    try:
        ratios = frame_ratios(visual.get("compression"), num_frames)
        note = prompt_note(visual, source, times)
        if visual.get("focus") is not None:
            is_auto = parse_focus(visual["focus"]) == AUTO
            has_ratios = isinstance(visual.get("compression"), list | tuple)
            if not has_ratios or (is_auto and visual["focus"] != SPENT_AUTO):
                raise ConfigError("a focus is spent by the planner first: call Planner.spend on the visual.")
            if is_auto:
                ratios = _rank_by_change(frames, ratios, rule, max_pixels)
                frames, *_ = _open_frames(kind, source, visual)
    except BaseException:
        frames.close()
        raise
    num_tokens = None
    if size is not None:
        cost = {ratio: frame_view(*size, rule, ratio, max_pixels).num_tokens + 1 for ratio in set(ratios)}
        num_tokens = 2 + sum(cost[ratio] for ratio in ratios)
    stream = _frame_stream(frames, ratios, max_pixels, rule, is_fast)
    return VisualStream(VIDEO, num_frames, stream, note, marks, times, num_tokens)


def _image_stream(
    source: Any, visual: Mapping[str, Any], rule: ResizeRule
) -> Iterator[tuple[View, np.ndarray]]:
    from oryx.media.image import open_image

    ratio = check_compression(_default(visual.get("compression"), 1))
    max_pixels = visual.get("max_pixels")
    image = open_image(source)
    height, width = image.height, image.width
    views = image_views(height, width, rule, ratio, _default(visual.get("detail"), "high"), max_pixels)
    icon = icon_size(height, width, rule, max_pixels)
    scale = resize_fast if check_switch(visual, "fast_resize") else resize
    if icon is not None:
        image = scale(image, *icon)
    native = scale(image, *native_size(height, width, rule, ratio, max_pixels))
    for index, view in enumerate(views):
        # Both views come from the resized native one, as in the reference, even if only one is wanted.
        yield (
            view,
            patchify(scale(native, view.height, view.width) if index == 0 else native, rule.patch_size),
        )


def _frame_stream(
    frames: Frames, ratios: list[int], max_pixels: int | None, rule: ResizeRule, fast: bool
) -> Iterator[tuple[View, np.ndarray]]:
    scale = resize_fast if fast else resize

    def cut(place: int, frame: Image.Image) -> tuple[View, np.ndarray]:
        view = frame_view(frame.height, frame.width, rule, ratios[place], max_pixels)
        return view, patchify(scale(frame, view.height, view.width), rule.patch_size)

    yield from map_ahead(cut, frames, len(ratios))


def _rank_by_change(
    frames: Frames, ratios: Sequence[int], rule: ResizeRule, max_pixels: int | None
) -> list[int]:
    """The ratios, richest first, given to the frames at which the picture changes most.

    A first pass over the frames at the size they have at 16x: a frame's change is how far the mean colours of
    its regions lie from those of its neighbours.
    """

    def shrink(_: int, frame: Image.Image) -> np.ndarray:
        view = frame_view(frame.height, frame.width, rule, 16, max_pixels)
        return region_means(resize(frame, view.height, view.width), *view.token_grid)

    means = list(map_ahead(shrink, frames, len(ratios)))
    steps = [float(np.abs(after - before).mean()) for before, after in itertools.pairwise(means)]
    change = np.array([0.0, *steps]) + np.array([*steps, 0.0])
    order = np.argsort(-change, kind="stable")
    ranked = [0] * len(ratios)
    for ratio, place in zip(sorted(ratios), order.tolist()):
        ranked[place] = ratio
    return ranked


def _open_frames(
    kind: str, source: Any, visual: Mapping[str, Any]
) -> tuple[Frames, int, Sequence[float] | None, tuple[int, int] | None]:
    """Frames of a video or of a list, how many there are, their times in seconds if they have any, and their
    (height, width) if all share one."""
    from oryx.media.image import open_image

    check_numbers(visual)
    fps, max_frames = visual.get("fps"), _default(visual.get("max_frames"), FEW_FRAMES)
    keyframes = check_switch(visual, "keyframes")
    if kind == "views":
        from oryx.media.views import list_views

        source = list_views(source)
    elif isinstance(source, np.ndarray) and source.ndim == 4:
        source = [Image.fromarray(frame) for frame in source]
    if kind == "views" or is_list(source):
        if not source:
            raise MediaError(
                f"the list of {'views' if kind == 'views' else 'frames'} is empty; it needs at least one."
            )
        if keyframes:
            raise ConfigError("keyframes need a video file: a list of pictures has none.")
        times = [index / fps for index in range(len(source))] if fps and kind == "video" else None
        return (open_image(frame) for frame in source), len(source), times, None
    from oryx.media.video import open_clip

    clip = open_clip(source, max_frames, fps, visual.get("focus"), keyframes)
    return _images(clip), clip.num_frames, clip.times, (clip.height, clip.width)


def is_list(source: Any) -> bool:
    """Whether frames are given one by one, not as a file or a folder; they may be made as they are read."""
    return isinstance(source, Sequence) and not isinstance(source, str | bytes)


def _images(clip: "Clip") -> Frames:
    with closing(clip.frames) as frames:
        for frame in frames:
            yield frame.image


def check_numbers(visual: Mapping[str, Any]) -> None:
    """Raises ConfigError for a number among the dials that cannot be, with what is allowed."""
    for dial in ("max_frames", "max_pixels", "max_visual_tokens"):
        value = visual.get(dial)
        is_whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
        if value is not None and not (is_whole and value >= 1):
            raise ConfigError(f"{dial} must be a whole number of at least 1, not {value!r}.")
    fps = visual.get("fps")
    is_number = isinstance(fps, int | float | np.number) and not isinstance(fps, bool)
    if fps is not None and not (is_number and 0 < fps < float("inf")):
        raise ConfigError(f"fps must be a number above 0, or None to spread the frames evenly, not {fps!r}.")


def check_switch(visual: Mapping[str, Any], dial: str) -> bool:
    """The value of a dial that is on or off (the default); anything else raises ConfigError."""
    value = _default(visual.get(dial), False)
    if not isinstance(value, bool):
        raise ConfigError(f"{dial} must be true or false, not {value!r}.")
    return value


def _encoded_stream(visual: EncodedVisual) -> VisualStream:
    if visual.patches is None:
        raise ConfigError("the visual holds no patches; it stands in for embeddings made elsewhere.")
    ends = itertools.accumulate(view.num_patches for view in visual.views)
    views = ((view, visual.patches[end - view.num_patches : end]) for view, end in zip(visual.views, ends))
    return VisualStream(visual.kind, len(visual.views), views, visual.note, visual.marks)


def frame_ratios(compression: Any, num_frames: int) -> list[int]:
    """One ratio per frame, from one for all, a list, or the default for so many frames."""
    if compression is None:
        compression = 4 if num_frames <= FEW_FRAMES else 16
    if not isinstance(compression, list | tuple):
        return [check_compression(compression)] * num_frames
    if len(compression) != num_frames:
        raise ConfigError(
            f"compression lists {len(compression)} ratios for {num_frames} frames; give one per frame."
        )
    return [check_compression(ratio) for ratio in compression]


def prompt_note(visual: Mapping[str, Any], source: Any, times: Sequence[float] | None) -> str:
    """Lines about a video for the prompt, if it asks for them."""
    lines = []
    if visual.get("timestamps"):
        if times is None:
            raise ConfigError("timestamps need a video file, or fps beside a list of frames.")
        lines.append("Frames at " + ", ".join(f"{time:.1f} s" for time in times) + ".")
    subtitles = visual.get("subtitles")
    if subtitles:
        from oryx.media.subtitles import read_subtitles

        if subtitles is True:
            subtitles = _subtitles_beside(source)
        entries = read_subtitles(subtitles) if isinstance(subtitles, str | Path) else subtitles
        lines.append("Subtitles:")
        lines += [
            entry if isinstance(entry, str) else f"[{entry.start:.1f} s] {entry.text}" for entry in entries
        ]
    return "\n".join(lines)


def _subtitles_beside(source: Any) -> Path:
    from oryx.media.subtitles import find_subtitles

    path = find_subtitles(source) if isinstance(source, str | Path) else None
    if path is None:
        name = source if isinstance(source, str | Path) else "a video without a path"
        raise MediaError(f"there is no .srt or .vtt file beside {name}; give its path as subtitles.")
    return path


def visual_source(visual: Mapping[str, Any], kind: str) -> Any:
    """The picture, path, bytes or list that a visual dict names, by whichever of its keys."""
    name = visual.get("type")
    keys = (*_SOURCES[kind], *([name] if name in _ALIASES else []))
    found = [key for key in keys if visual.get(key) is not None]
    if len(found) != 1:
        raise ConfigError(
            f"a visual of type {kind!r} needs exactly one of the keys {', '.join(_SOURCES[kind])}, "
            f"not {', '.join(found) or 'none'}."
        )
    source = visual[found[0]]
    if isinstance(source, Mapping):  # OpenAI's {"image_url": {"url": ...}}
        source = source.get("url")
    if found[0] == "base64":
        return _decode_base64(source)
    if isinstance(source, str):
        if source.startswith("data:"):
            return _decode_base64(source.partition(",")[2])
        if source.startswith(("http://", "https://")):
            from oryx.media.image import LIVE

            live = LIVE if source.lower().split("?")[0].endswith((".m3u8", ".mpd")) else ""
            raise MediaError(
                f"{source} is not fetched from the network: download it and give its path{live}."
            )
        return source.removeprefix("file://")
    return source


def _decode_base64(text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (TypeError, ValueError):
        raise MediaError("a picture given as base64 text does not decode.") from None


def _default(value: Any, default: Any) -> Any:
    return default if value is None else value
