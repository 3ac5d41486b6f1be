"""The header of a Matroska or WebM file: how its pictures are turned, which libav tells only by decoding."""

import math
import struct
from collections.abc import Iterator
from typing import BinaryIO

SEGMENT, CLUSTER, TRACKS, TRACK = 0x18538067, 0x1F43B675, 0x1654AE6B, 0xAE
TRACK_TYPE, VIDEO, PROJECTION = 0x83, 0xE0, 0x7670
PROJECTION_TYPE, YAW, PITCH, ROLL = 0x7671, 0x7673, 0x7674, 0x7675
PICTURE = 1  # of TRACK_TYPE
MAX_TRACKS = 2**24  # bytes


def read_matrix(file: BinaryIO, place: int) -> tuple[float, float, float, float] | None:
    """(a, b, c, d) of the display matrix of the video track at `place` among the video tracks.

    x' = a x + c y, y' = b x + d y. None where the header does not say it in a plain way: the track is not
    found, mirrored or not flat.
    """
    try:
        tracks = _find_tracks(file)
        pictures = [track for track in tracks if _number(track.get(TRACK_TYPE)) == PICTURE]
        video = dict(_elements(pictures[place].get(VIDEO, b"")))
        projection = dict(_elements(video.get(PROJECTION, b"")))
    except (IndexError, struct.error, OSError, ValueError):
        return None
    yaw, pitch, roll = (_real(projection.get(kind)) for kind in (YAW, PITCH, ROLL))
    if yaw or pitch or _number(projection.get(PROJECTION_TYPE)):
        return None
    cosine, sine = math.cos(math.radians(roll)), math.sin(math.radians(roll))  # counterclockwise
    return cosine, -sine, sine, cosine


def _find_tracks(file: BinaryIO) -> list[dict[int, bytes]]:
    file.seek(0)
    while True:
        head = file.read(12)
        kind, begin = _id(head, 0)
        size, begin = _size(head, begin)
        if kind == SEGMENT:
            file.seek(begin - len(head), 1)
            continue
        if kind == TRACKS and size <= MAX_TRACKS:
            file.seek(begin - len(head), 1)
            return [dict(_elements(content)) for kind, content in _elements(file.read(size)) if kind == TRACK]
        if kind == CLUSTER:
            return []  # the tracks would have to be searched for behind the pictures
        file.seek(size + begin - len(head), 1)


def _elements(content: bytes) -> Iterator[tuple[int, bytes]]:
    place = 0
    while place < len(content):
        kind, place = _id(content, place)
        size, place = _size(content, place)
        yield kind, content[place : place + size]
        place += size


def _id(content: bytes, place: int) -> tuple[int, int]:
    length = 9 - content[place].bit_length()
    return int.from_bytes(content[place : place + length], "big"), place + length


def _size(content: bytes, place: int) -> tuple[int, int]:
    length = 9 - content[place].bit_length()
    value = int.from_bytes(content[place : place + length], "big")
    return value & ~(1 << 7 * length), place + length


def _number(content: bytes | None) -> int:
    return int.from_bytes(content or b"", "big")


def _real(content: bytes | None) -> float:
    return struct.unpack(">f" if len(content) == 4 else ">d", content)[0] if content else 0.0
