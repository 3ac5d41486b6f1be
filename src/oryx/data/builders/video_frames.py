"""Chosen frames of a video for as little decoding as possible: keyframes where these will do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from oryx.errors import MediaError
from oryx.media.probe import ANIMATION, probe_video, scan_file
from oryx.media.sampling import VideoInfo
from oryx.media.video import Clip


def probe_exact(path: Path) -> VideoInfo:
    """A video with the times of all its frames, which a believed header does not tell.

    Raises:
        MediaError: as `probe_video`.
    """
    info = probe_video(path)
    if info.timeline is not None and not info.timeline.is_predicted:
        return info
    timeline = scan_file(path)
    if not timeline.num_frames:
        raise MediaError(f"'{path}' has no frame that can be read")
    return replace(info, timeline=timeline, num_frames=timeline.num_frames)


def keyframes_near(info: VideoInfo, ranks: Sequence[int]) -> list[int]:
    """The keyframe nearest to each rank, each once, ascending; none where the video tells of none."""
    if info.timeline is None or info.timeline.pts is None or info.codec == ANIMATION:
        return []
    return info.timeline.nearest_keyframes(list(ranks))


def open_ranks(path: Path, info: VideoInfo, ranks: Sequence[int]) -> Clip:
    """The frames of these ranks, to be decoded as they are read; each alone if all of them are keyframes."""
    timeline = info.timeline
    has_keyframes = timeline is not None and timeline.pts is not None and info.codec != ANIMATION
    keyframes = has_keyframes and bool(np.isin(ranks, timeline.keyframes).all())  # type: ignore[union-attr]
    times = [info.time_of(rank) for rank in ranks]
    return Clip(path, info.height, info.width, list(ranks), times, info, keyframes)
