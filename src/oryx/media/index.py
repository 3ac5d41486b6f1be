"""The timeline of a file from its header and index; a few packets at both ends are read to check it."""

import itertools
from typing import Any

import av
import numpy as np

from oryx.media.cut import find_loss
from oryx.media.isobmff import Track
from oryx.media.timeline import MAX_REORDER, Timeline

NUM_CHECKED = 8  # packets at either end of an MP4
MAX_TAIL = 2000  # packets from the last keyframe in a Matroska's index to the end
MAX_TICKS = 0.25  # of a frame: how coarse a clock may be for frames to be counted by it


def tabled(container: Any, stream: Any, track: Track | None) -> Timeline | None:
    """The timeline of an MP4 from the table in its header; None where that cannot be relied on."""
    samples = None if track is None else track.samples(container.size)
    # A VP8 packet may be one that is never shown: its first byte tells.
    if samples is None or not samples[1][0] or stream.codec_context.name == "vp8" or not stream.time_base:
        return None
    times, is_key = samples
    entries = getattr(stream, "index_entries", None)  # newer releases of PyAV
    if stream.frames != len(times) or (entries is not None and len(entries) != len(times)):
        return None  # libav leaves some of them out
    try:
        container.seek(stream.start_time or 0, stream=stream, backward=True)
        head = _read(container, stream, NUM_CHECKED)
        # Edits move the whole table by a constant, which libav has worked out.
        pts = times + (head[0].pts - times[0])
        order = np.argsort(pts, kind="stable")
        shown = pts[order]
        container.seek(int(shown[-NUM_CHECKED:][0]), stream=stream, backward=True, any_frame=True)
        tail = _read(container, stream, len(times))
        found = np.array([packet.pts for packet in tail], np.int64)
    except (av.FFmpegError, OSError, IndexError, TypeError):
        return None
    is_true = (
        [packet.pts for packet in head] == pts[: len(head)].tolist()
        and found.max(initial=shown[0] - 1) == shown[-1]
        and (shown[np.searchsorted(shown, found)] == found).all()
        and not any(packet.is_discard or packet.is_corrupt for packet in head + tail)
        and (np.diff(shown) > 0).all()
        and shown[0] >= pts[0]
        and np.abs(order - np.arange(len(order))).max() <= MAX_REORDER
    )
    if not is_true:
        return None
    return Timeline(len(shown), shown, np.searchsorted(shown, np.sort(pts[is_key])), float(stream.time_base))


def predicted(container: Any, stream: Any) -> Timeline | None:
    """The timeline of a Matroska with a constant rate, from the keyframes in its index.

    Times of the keyframes are exact; those of the frames between them are counted at the header's rate, which
    must hold for all keyframes and for all frames before the second and after the last of them. None where it
    does not, or where there is no index.
    """
    rate = stream.average_rate
    if not rate or rate != stream.base_rate or not stream.time_base or not hasattr(stream, "index_entries"):
        return None
    tick, per_frame = float(stream.time_base), float(1 / rate / stream.time_base)
    if per_frame * MAX_TICKS < 1:
        return None
    try:
        container.seek(stream.start_time or 0, stream=stream, backward=True)
        first = _read(container, stream, 1)[0].pts
        container.seek(int((container.duration or 0) / 1e6 / tick), stream=stream, backward=True)
        keys = np.array([entry.timestamp for entry in stream.index_entries if entry.is_keyframe], np.int64)
        tail = _read(container, stream, MAX_TAIL)
        container.seek(int(first), stream=stream, backward=True)
        head = _read(container, stream, MAX_TAIL, int(keys[1]))
    except (av.FFmpegError, OSError, IndexError, TypeError):
        return None
    if len(tail) == MAX_TAIL or keys[0] != first or any(p.is_corrupt or p.pts is None for p in head + tail):
        return None
    places = (keys - first) / per_frame
    num_frames = round((max(packet.pts for packet in tail) - first) / per_frame) + 1
    is_even = (
        np.abs(places - places.round()).max() <= 1 / per_frame
        and (np.diff(places.round()) > 0).all()
        and _fills(head, first, 0, int(places[1].round()), per_frame)
        and _fills(tail, first, round((tail[0].pts - first) / per_frame), num_frames, per_frame)
    )
    end = max(packet.pts + (packet.duration or 0) for packet in tail) * tick if is_even else 0.0
    if not is_even or find_loss(container, stream, num_frames, end, float(1 / rate), False):
        return None
    pts = first + np.round(np.arange(num_frames) * per_frame).astype(np.int64)
    ranks = places.round().astype(np.int64)
    pts[ranks] = keys
    return Timeline(num_frames, pts, ranks, tick, is_predicted=True)


def _read(container: Any, stream: Any, number: int, until: int | None = None) -> list[Any]:
    """The next packets of the stream, up to the keyframe at `until`."""
    packets = (packet for packet in container.demux(stream) if packet.size)
    wanted = itertools.takewhile(lambda packet: until is None or packet.pts != until, packets)
    return list(itertools.islice(wanted, number))


def _fills(packets: list[Any], first: int, begin: int, end: int, per_frame: float) -> bool:
    """Whether the packets are the frames of the ranks from `begin` to `end`, each once."""
    return sorted(round((packet.pts - first) / per_frame) for packet in packets) == list(range(begin, end))
