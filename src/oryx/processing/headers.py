"""What the files of a visual say before a pixel is decoded, read once however many plans are tried."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from oryx.errors import ConfigError, MediaError
from oryx.media.image import image_size
from oryx.media.sampling import VideoInfo
from oryx.media.video import Clip, choose_clip, probe_video
from oryx.media.views import list_views
from oryx.processing.visuals import (
    FEW_FRAMES,
    check_numbers,
    check_switch,
    is_list,
    visual_source,
    visual_type,
)


@dataclass(frozen=True)
class Header:
    """One visual, opened as far as its headers."""

    kind: str
    """"image", "video" or "views"."""
    name: str
    """The file or folder, for people."""
    source: Any = field(repr=False)
    sizes: tuple[tuple[int, int], ...]
    """(height, width), upright: of each picture of a list; of a video or an image, one for all."""
    num_frames: int
    """Frames there are to choose from; of a list, which is used whole, its length; 1 for an image."""
    info: VideoInfo | None = None
    """Of a video file."""
    is_list: bool = False
    """A list of frames or views is used as it is, without sampling."""

    @property
    def duration(self) -> float | None:
        """Seconds; None without times."""
        return None if self.info is None else self.info.duration

    def choose(self, visual: Mapping[str, Any]) -> Clip | None:
        """The frames that `visual`'s dials choose from a video or a folder of frames; None for the rest."""
        if self.kind == "image" or self.is_list:
            return None
        max_frames = FEW_FRAMES if visual.get("max_frames") is None else visual["max_frames"]
        keyframes = check_switch(visual, "keyframes")
        return choose_clip(
            self.source, self.info, max_frames, visual.get("fps"), visual.get("focus"), keyframes
        )


def read_header(visual: Mapping[str, Any]) -> Header:
    """Open a visual dict as far as its headers.

    Raises:
        ConfigError, MediaError: an unknown key, or a source that is missing or cannot be read.
    """
    kind = visual_type(visual)
    check_numbers(visual)
    source, keyframes = visual_source(visual, kind), check_switch(visual, "keyframes")
    if kind == "image":
        return Header(kind, _name(source, "image"), source, (image_size(source),), 1)
    if kind == "views":
        name = _name(source, "")
        source = list_views(source)
    elif isinstance(source, np.ndarray) and source.ndim == 4:
        source, name = list(source), ""
    else:
        name = _name(source, "")
    if is_list(source):
        if keyframes:
            raise ConfigError("keyframes need a video file: a list of pictures has none.")
        if not source:
            raise MediaError("the list of frames is empty; it needs at least one.")
        name = name or f"{len(source)} {'views' if kind == 'views' else 'frames'}"
        return Header(kind, name, source, tuple(map(_size, source)), len(source), is_list=True)
    if isinstance(source, str | Path) and os.path.isdir(source):
        pictures: Sequence[Any] = list_views(source)
        return Header(kind, name, source, (image_size(pictures[0]),), len(pictures))
    info = probe_video(source)
    if keyframes and info.timeline is None:  # looked for once, however many plans are tried
        info = choose_clip(source, info, 1, keyframes=True).info or info
    return Header(kind, name or "video", source, ((info.height, info.width),), info.num_frames, info)


def _size(frame: Any) -> tuple[int, int]:
    return (frame.shape[0], frame.shape[1]) if isinstance(frame, np.ndarray) else image_size(frame)


def _name(source: Any, otherwise: str) -> str:
    return Path(source).name or str(source) if isinstance(source, str | Path) else otherwise
