"""Which frames of a video to take, from what it says about itself."""

import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from oryx.errors import ConfigError
from oryx.media.focus import Focus
from oryx.media.timeline import Timeline

MAX_RATE = 1e5  # frames per second: more than any video has, so that counting its moments stays exact


@dataclass(frozen=True)
class VideoInfo:
    """What a video says about itself, before its frames are decoded."""

    height: int
    """Pixels, after rotation."""
    width: int
    num_frames: int
    """Frames that can be shown: at least 1."""
    fps: float
    """Mean frames per second (the rate may vary)."""
    duration: float
    """Seconds."""
    rotation: int = 0
    """Degrees, clockwise, by which the stored frames are turned to stand upright: 0, 90, 180 or 270."""
    codec: str = ""
    timeline: Timeline | None = field(default=None, repr=False, compare=False)
    """Exact times of all frames, where they have been read."""

    def time_of(self, index: int) -> float:
        """Seconds from the first frame to frame `index`."""
        times = self.timeline.times if self.timeline is not None else None
        return index / self.fps if times is None else float(times[index])

    @cached_property
    def times(self) -> np.ndarray:
        """(num_frames,) float64: seconds from the first frame; by the mean rate where they were not read."""
        times = self.timeline.times if self.timeline is not None else None
        return np.arange(self.num_frames) / self.fps if times is None else times

    @property
    def end(self) -> float:
        """Seconds at which the last frame ends."""
        return max(self.duration, self.time_of(self.num_frames - 1) + 1 / self.fps)


def choose_frames(
    info: VideoInfo, max_frames: int = 64, fps: float | None = None, focus: Focus | None = None
) -> list[int]:
    """Indices of the frames to take, ascending and distinct.

    Without `fps` they are spread uniformly from the first frame to the last. With it, the frame shown every
    1/fps seconds is taken, while these are at most `max_frames`; else they are spread uniformly again. With
    `focus` and without `fps`, at least half of the frames are taken from its spans, as far as there are any.

    Raises:
        ConfigError: `max_frames` below 1, `fps` not above 0, or a focus outside the video.
    """
    check_dials(max_frames, fps)
    if focus is not None and fps is None:
        return spread_focused(focus.mask(info.times, info.num_frames, info.end), max_frames)
    if fps is None:
        return spread(info.num_frames, max_frames)
    # A frame is shown until the next one: it is taken if a moment 0, 1/fps, 2/fps, ... falls into that time.
    bounds = np.append(info.times, info.end)
    moments_before = np.ceil(bounds * min(fps, MAX_RATE) - 1e-6)
    indices = np.flatnonzero(np.diff(moments_before) > 0).tolist()
    return indices if len(indices) <= max_frames else spread(info.num_frames, max_frames)


def spread(num_frames: int, max_frames: int) -> list[int]:
    """The reference's rule: evenly from the first frame to the last, rounded down."""
    return np.linspace(0, num_frames - 1, min(max_frames, num_frames), dtype=int).tolist()


def spread_focused(inside: np.ndarray, max_frames: int) -> list[int]:
    """Evenly within the frames of a focus (num_frames,) bool, and evenly within the others."""
    focused, others = np.flatnonzero(inside), np.flatnonzero(~inside)
    total = min(max_frames, len(inside))
    num_focused = num_in_focus(len(focused), len(others), total)
    chosen = [*_evenly(focused, num_focused), *_evenly(others, total - num_focused)]
    return sorted(chosen)


def num_in_focus(num_focused: int, num_others: int, total: int) -> int:
    """How many of `total` chosen frames lie in the focus: half, or its share of the video if that is more."""
    share = total * num_focused / (num_focused + num_others)
    return max(min(num_focused, max(math.ceil(total / 2), round(share))), total - num_others)


def _evenly(ranks: np.ndarray, count: int) -> list[int]:
    return ranks[spread(len(ranks), count)].tolist() if count else []


def check_dials(max_frames: int, fps: float | None) -> None:
    if isinstance(max_frames, bool) or not isinstance(max_frames, int | np.integer) or max_frames < 1:
        raise ConfigError(f"max_frames is {max_frames!r}: a whole number of at least 1 is needed")
    if fps is None:
        return
    is_number = isinstance(fps, int | float | np.number) and not isinstance(fps, bool)
    if not is_number or not 0 < fps < math.inf:
        raise ConfigError(f"fps is {fps!r}: a number above 0 is needed (or none at all)")
