"""How the frames of a video must be turned to stand upright."""

import struct
from collections.abc import Iterator
from typing import Any

import av
from av.sidedata.sidedata import SideDataContainer
from PIL import Image

# (a, b, c, d) of a display matrix: x' = a x + c y, y' = b x + d y, with y downwards; in whole units.
TRANSPOSES = {
    (-1, 0, 0, -1): Image.Transpose.ROTATE_180,
    (0, 1, -1, 0): Image.Transpose.ROTATE_270,
    (0, -1, 1, 0): Image.Transpose.ROTATE_90,
    (-1, 0, 0, 1): Image.Transpose.FLIP_LEFT_RIGHT,
    (1, 0, 0, -1): Image.Transpose.FLIP_TOP_BOTTOM,
    (0, 1, 1, 0): Image.Transpose.TRANSPOSE,
    (0, -1, -1, 0): Image.Transpose.TRANSVERSE,
}
# Degrees clockwise; a mirrored picture counts as the quarter turn that its sides need.
ROTATIONS = {
    Image.Transpose.ROTATE_180: 180,
    Image.Transpose.ROTATE_270: 90,
    Image.Transpose.ROTATE_90: 270,
    Image.Transpose.FLIP_LEFT_RIGHT: 0,
    Image.Transpose.FLIP_TOP_BOTTOM: 0,
    Image.Transpose.TRANSPOSE: 90,
    Image.Transpose.TRANSVERSE: 270,
}

# Types of the messages beside the picture (SEI) and, of the payloads, the one that turns a frame.
MESSAGES = {"h264": (0x1F, 0, (6,)), "hevc": (0x3F, 1, (39, 40))}
ORIENTATION = 47


def transpose_of(frame: Any) -> Image.Transpose | None:
    """How a decoded frame must be turned to stand upright, from its display matrix."""
    # Not `frame.side_data`: the frame would keep it and it the frame, a ring of some megabytes that only the
    # garbage collector could free.
    matrix = SideDataContainer(frame).get("DISPLAYMATRIX")  # type: ignore[call-arg]
    if matrix is None:
        return None
    a, b, _, c, d, *_ = struct.unpack("=9i", bytes(matrix)[:36])
    return transpose_of_matrix(a, b, c, d)


def transpose_of_matrix(a: float, b: float, c: float, d: float) -> Image.Transpose | None:
    """The same from the matrix itself, in any unit."""
    unit = max(abs(value) for value in (a, b, c, d)) or 1
    # Quarter turns only: any other angle is taken as the nearest of them.
    return TRANSPOSES.get((round(a / unit), round(b / unit), round(c / unit), round(d / unit)))


def turns_itself(container: Any, stream: Any) -> bool:
    """Whether the next packet of an H.264 or HEVC stream has a message that turns the picture."""
    if stream.codec_context.name not in MESSAGES:
        return False
    try:
        packet = next((packet for packet in container.demux(stream) if packet.size), None)
    except (av.FFmpegError, OSError):
        return False
    mask, shift, kinds = MESSAGES[stream.codec_context.name]
    units = _units(bytes(packet or b""), bytes(stream.codec_context.extradata or b""), shift)
    return any(
        unit and (unit[0] >> shift) & mask in kinds and _has_orientation(unit[1 + shift :]) for unit in units
    )


def _units(data: bytes, extradata: bytes, shift: int) -> Iterator[bytes]:
    """The NAL units of a packet: each with its length before it (MP4, Matroska) or after a start code."""
    if not extradata.startswith(b"\1"):
        yield from data.split(b"\0\0\1")[1:]
        return
    place, length = 0, (extradata[21 if shift else 4] & 3) + 1
    while place + length < len(data):
        size = int.from_bytes(data[place : place + length], "big")
        yield data[place + length : place + length + min(size, 4096)]
        place += length + size


def _has_orientation(messages: bytes) -> bool:
    place = 0
    while place + 2 < len(messages):
        values = []
        for _ in range(2):  # the payload's type, then its size: bytes of 255 add up
            value = 0
            while place < len(messages) and messages[place] == 255:
                value, place = value + 255, place + 1
            values.append(value + (messages[place] if place < len(messages) else 0))
            place += 1
        if values[0] == ORIENTATION:
            return True
        place += values[1]
    return False
