"""Dials, checked before there is any medium that they are for."""

from __future__ import annotations

from typing import cast

from oryx.media.focus import parse_focus
from oryx.media.sampling import VideoInfo, choose_frames
from oryx.processing.geometry import Detail, ResizeRule, image_views


def check_dials(
    compression: int | None,
    detail: str | None,
    max_frames: int | None,
    fps: float | None,
    max_pixels: int | None,
    focus: str | None,
) -> None:
    """Refuse a dial that is out of range, even if no medium would use it; None is one that was not turned.

    Raises:
        ConfigError: such a dial.
    """
    # Each range has one home: asking it about a smallest picture and video checks the dials.
    ratio = 1 if compression is None else compression
    image_views(1, 1, ResizeRule(), ratio, cast(Detail, detail or "high"), max_pixels)
    parse_focus(focus)
    choose_frames(VideoInfo(1, 1, 1, 1.0, 1.0), 64 if max_frames is None else max_frames, fps)
