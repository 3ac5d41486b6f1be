"""When each frame of a video is shown and where decoding may begin, without a decoded pixel.

Frames are counted from 0 in the order in which they are shown: the rank of a frame is its index.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

import av
import numpy as np

from oryx.media.cut import find_loss

SEEK_MARGIN = 8  # a seek empties the decoder: it must save at least so many frames
MAX_REORDER = 32  # no codec shows a frame so many places away from where it is stored
VP8_SHOWN = 0x10  # bit of a VP8 packet's first byte: unset for a frame that others refer to and nobody sees


# (rank to start decoding at, the wanted ranks, ascending); a start of 0 is the file's start.
Stretch: TypeAlias = tuple[int, list[int]]


@dataclass(frozen=True, eq=False)
class Timeline:
    """The frames that are really in a file.

    `pts` (num_frames,) holds the presentation times, ascending and distinct, in units of `time_base` seconds;
    it is None where the file has none that can be relied on (then frames can only be counted).
    `keyframes` holds the ranks, ascending, of the frames at which decoding may begin.
    """

    num_frames: int
    pts: np.ndarray | None = None
    keyframes: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    time_base: float = 1.0
    loss: str = ""
    """What says that frames are missing at the end, as the rest of a sentence; "" where nothing does."""
    is_predicted: bool = False
    """Only the keyframes were read; the frames between them are counted at a constant rate."""

    @cached_property
    def times(self) -> np.ndarray | None:
        """(num_frames,) float64: seconds from the first frame."""
        return None if self.pts is None else (self.pts - self.pts[0]) * self.time_base

    def rank(self, pts: int | None) -> int | None:
        """The index of the frame with this presentation time; None where no frame has it."""
        if self.pts is None or pts is None:
            return None
        rank = int(np.searchsorted(self.pts, pts))
        return rank if rank < self.num_frames and self.pts[rank] == pts else None

    def keyframe_before(self, rank: int) -> int:
        """The rank of the last frame, not after `rank`, at which decoding may begin (0: at the start)."""
        place = int(np.searchsorted(self.keyframes, rank, side="right"))
        return int(self.keyframes[place - 1]) if place else 0

    def nearest_keyframes(self, ranks: list[int]) -> list[int]:
        """The keyframe shown nearest to each of these frames: ascending, each once. Needs `pts`."""
        assert self.pts is not None
        times = self.pts[self.keyframes]
        after = np.searchsorted(times, self.pts[ranks]).clip(max=len(times) - 1)
        before = (after - 1).clip(min=0)
        is_before = self.pts[ranks] - times[before] <= times[after] - self.pts[ranks]
        return np.unique(self.keyframes[np.where(is_before, before, after)]).tolist()

    def stretches(self, ranks: list[int]) -> list[Stretch]:
        """Group ascending wanted ranks into stretches, each decoded in one go from one keyframe."""
        stretches: list[Stretch] = []
        reached = 0  # everything up to here is decoded anyway
        for rank in ranks:
            keyframe = self.keyframe_before(rank) if self.pts is not None else 0
            if not stretches or keyframe - reached > SEEK_MARGIN:
                stretches.append((keyframe if keyframe > SEEK_MARGIN else 0, []))
            stretches[-1][1].append(rank)
            reached = rank
        return stretches


def scan(container: Any, stream: Any) -> Timeline:
    """Read the timeline from the packets of one video stream; nothing is decoded.

    Packets that the container marks as not to be shown do not count, nor do those before the first keyframe.
    A file that is cut off gives the packets before the cut.
    """
    pts: list[int | None] = []
    keys: list[int | None] = []
    is_vp8 = stream.codec_context.name == "vp8"
    end, is_broken = 0, False
    try:
        for packet in container.demux(stream):
            if packet.size:
                is_broken = packet.is_corrupt
            if not packet.size or packet.is_discard or (is_vp8 and not memoryview(packet)[0] & VP8_SHOWN):
                continue
            if packet.is_keyframe:
                pts = pts if keys else []  # no decoder can show what came before the first
                keys.append(packet.pts)
            pts.append(packet.pts)
            end = max(end, (packet.pts or 0) + (packet.duration or 0))
    except (av.FFmpegError, OSError):
        is_broken = True  # cut off or damaged: what came before it is the video
    untimed = Timeline(len(pts), loss=find_loss(container, stream, len(pts), None, 0.0, is_broken))
    # An AVI keeps no presentation times: where frames depend on each other, libav only guesses them.
    is_guessed = container.format.name == "avi" and len(keys) < len(pts)
    known = np.array([time for time in pts if time is not None], dtype=np.int64)
    order = np.argsort(known, kind="stable")
    if is_guessed or len(known) < len(pts) or not keys or not stream.time_base:
        return untimed
    # Where the clock starts anew midway (two recordings in one file), times tell nothing about the order.
    if np.abs(order - np.arange(len(known))).max() > MAX_REORDER or (np.diff(known[order]) == 0).any():
        return untimed
    begin = keys[0] or 0
    shown = known[order][known[order] >= begin]
    keyframes = np.searchsorted(shown, sorted(time for time in keys if time is not None))
    tick = float(stream.time_base)
    gap = float(np.diff(shown).max(initial=0)) * tick
    loss = find_loss(container, stream, len(shown), end * tick, gap, is_broken)
    return Timeline(len(shown), shown, keyframes, tick, loss)


def is_sound(container: Any, stream: Any) -> bool:
    """Whether the frame count in the header can be believed without reading every packet.

    True where the rate is constant and the last packet of the file is where the header's count puts it.
    """
    rate = stream.average_rate
    if not stream.frames or not stream.duration or not rate or rate != stream.base_rate:
        return False
    begin = stream.start_time or 0
    last = None
    try:
        container.seek(begin + stream.duration, stream=stream, backward=True)
        for packet in container.demux(stream):
            if packet.size and packet.pts is not None:
                last = max(packet.pts, packet.pts if last is None else last)
    except (av.FFmpegError, OSError):
        return False
    return last is not None and round((last - begin) * stream.time_base * rate) + 1 == stream.frames
