"""Decoding the wanted frames of an open video, and as little else as exactness allows."""

import logging
from collections.abc import Iterator
from typing import Any

import av
from av.video.frame import PictureType

from oryx.media.timeline import Stretch, Timeline

logger = logging.getLogger(__name__)

# Decoders that can leave out a frame no other frame needs, and still show every other one exactly.
SKIPPING_CODECS = ("h264", "hevc")


class MissedFrameError(Exception):
    """A frame that the timeline promises did not come out of the decoder after a seek."""


def decode_all(container: Any, stream: Any) -> Iterator[Any]:
    """Yield every frame from here on; packets that cannot be decoded are left out."""
    for packet in _packets(container, stream):
        yield from _decode(packet)
    yield from _drain(stream)


def decode_seeking(
    container: Any, stream: Any, timeline: Timeline, stretches: list[Stretch]
) -> Iterator[tuple[int, Any]]:
    """Yield (rank, frame of PyAV) for the wanted ranks of a freshly opened video, stretch by stretch.

    It seeks to the keyframe before a wanted frame where that saves decoding. A frame is known by its
    presentation time, so a seek that leads elsewhere cannot go unnoticed.

    Raises:
        MissedFrameError: a frame did not come: the file is damaged, or does not allow an exact seek.
    """
    for start, ranks in stretches:
        yield from decode_stretch(container, stream, timeline, start, ranks)


def decode_counting(
    container: Any, stream: Any, timeline: Timeline, ranks: list[int]
) -> Iterator[tuple[int, Any]]:
    """The same without seeking: decode a freshly opened video from its start.

    Where there are no times to rely on, a frame's rank is its count. A damaged frame is replaced by the last
    one before it (or the first after it), so every rank is yielded unless nothing at all can be decoded.
    """
    left = list(ranks)
    last = None
    for count, frame in enumerate(decode_all(container, stream)):
        rank = count if timeline.pts is None else timeline.rank(frame.pts)
        if rank is None:
            continue
        while left and left[0] < rank:
            yield left.pop(0), frame if last is None else last
        if left and left[0] == rank:
            yield left.pop(0), frame
        last = frame
        if not left:
            return
    if last is not None:
        for rank in left:
            yield rank, last


def decode_stretch(
    container: Any, stream: Any, timeline: Timeline, start: int, ranks: list[int]
) -> Iterator[tuple[int, Any]]:
    """Decode from the keyframe of rank `start` (0: from where the file stands) until all of `ranks` came.

    Raises:
        MissedFrameError: as `decode_seeking`.
    """
    assert timeline.pts is not None
    try:
        if start:
            container.seek(int(timeline.pts[start]), stream=stream, backward=True)
        if ranks == [start]:
            yield _decode_keyframe(container, stream, timeline, start)
        else:
            yield from _decode_until(container, stream, timeline, ranks)
    except (av.FFmpegError, OSError) as error:
        raise MissedFrameError from error


def _decode_until(
    container: Any, stream: Any, timeline: Timeline, ranks: list[int]
) -> Iterator[tuple[int, Any]]:
    assert timeline.pts is not None
    left = list(ranks)
    unread = {int(timeline.pts[rank]) for rank in ranks}
    can_skip = stream.codec_context.name in SKIPPING_CODECS
    try:
        for packet in _packets(container, stream):
            if can_skip:
                stream.codec_context.skip_frame = "DEFAULT" if packet.pts in unread else "NONREF"
            unread.discard(packet.pts)
            for frame in _decode(packet):
                yield from _take(frame, timeline, left)
            if not unread:
                break
        for frame in _drain(stream):
            yield from _take(frame, timeline, left)
    finally:
        if can_skip:
            stream.codec_context.skip_frame = "DEFAULT"
    if left:
        raise MissedFrameError


def _decode_keyframe(container: Any, stream: Any, timeline: Timeline, rank: int) -> tuple[int, Any]:
    """The frame of one packet, alone: no other can change it if it is a true keyframe."""
    assert timeline.pts is not None
    packets = (packet for packet in _packets(container, stream) if packet.pts == timeline.pts[rank])
    packet = next(packets, None)
    frames = [] if packet is None else [*_decode(packet), *_drain(stream)]
    if not frames or frames[0].pts != timeline.pts[rank] or frames[0].pict_type != PictureType.I:
        raise MissedFrameError
    return rank, frames[0]


def _take(frame: Any, timeline: Timeline, left: list[int]) -> Iterator[tuple[int, Any]]:
    rank = timeline.rank(frame.pts)
    if left and rank == left[0]:
        yield left.pop(0), frame
    elif left and rank is not None and rank > left[0]:
        raise MissedFrameError


def _packets(container: Any, stream: Any) -> Iterator[Any]:
    """Packets with data; they end where the file is cut off or cannot be read on."""
    try:
        for packet in container.demux(stream):
            if packet.size:
                yield packet
    except (av.FFmpegError, OSError) as error:
        logger.debug("packets end early: %s", error)


def _decode(packet: Any) -> list[Any]:
    try:
        return packet.decode()
    except (av.FFmpegError, ValueError) as error:
        logger.debug("a damaged packet is left out: %s", error)
        return []


def _drain(stream: Any) -> list[Any]:
    """The frames that the decoder still holds."""
    try:
        return stream.decode(None)
    except (av.FFmpegError, ValueError):
        return []
