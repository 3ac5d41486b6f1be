"""How long each frame of an animated picture is shown, from the blocks of its file: nothing is decoded."""

import struct
from typing import BinaryIO

import numpy as np

from oryx.media.isobmff import read_tracks

GIF_TABLE = 0x80  # bit that says that a colour table follows, of 2 to the power of (the low three bits + 1)
EXTENSION, IMAGE, TRAILER, CONTROL = 0x21, 0x2C, 0x3B, 0xF9


class EndError(Exception):
    """The file ends inside a block."""


def frame_durations(file: BinaryIO, file_format: str) -> tuple[list[float], bool] | None:
    """Milliseconds of every frame that is wholly there, and whether the file ends where it should.

    Args:
        file_format: Pillow's name of it.

    Returns:
        None for a file that only Pillow may judge.
    """
    durations: list[float] = []
    try:
        if file_format == "AVIF":
            return _read_avif(file, durations)
        read = {"GIF": _read_gif, "PNG": _read_png, "WEBP": _read_webp}[file_format]
        file.seek(0)
        read(file, durations)
    except EndError:
        return durations, False
    except (struct.error, KeyError):
        return None
    return durations, True


def _take(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise EndError
    return data


def _read_gif(file: BinaryIO, durations: list[float]) -> None:
    _skip_table(file, _take(file, 13)[10])
    delay = 0
    while kind := file.read(1):
        if kind[0] == TRAILER:
            return
        if kind[0] == EXTENSION:
            label = _take(file, 1)[0]
            content = _read_blocks(file)
            if label == CONTROL:
                delay = struct.unpack_from("<H", content, 1)[0]
        elif kind[0] == IMAGE:
            _skip_table(file, _take(file, 9)[8])
            _take(file, 1)
            _read_blocks(file)
            durations.append(10.0 * delay)
            delay = 0


def _skip_table(file: BinaryIO, flags: int) -> None:
    if flags & GIF_TABLE:
        _take(file, 3 << (flags & 7) + 1)


def _read_blocks(file: BinaryIO) -> bytes:
    """Read sub-blocks up to their terminator; the content of the first is all that anybody asks for."""
    content = _take(file, _take(file, 1)[0])
    size = len(content)
    while size:
        size = _take(file, 1)[0]
        _take(file, size)
    return content


def _read_png(file: BinaryIO, durations: list[float]) -> None:
    _take(file, 8)
    duration, has_data = 0.0, False  # of the frame that is being read
    while True:
        size, kind = struct.unpack(">I4s", _take(file, 8))
        content = _take(file, size + 4)
        if kind in (b"fcTL", b"IEND"):
            if has_data:
                durations.append(duration)
            has_data = False
        if kind == b"IEND":
            return
        if kind == b"fcTL":
            number, per = struct.unpack_from(">HH", content, 20)
            duration = 1000.0 * number / (per or 100)
        has_data = has_data or kind in (b"IDAT", b"fdAT")


def _read_webp(file: BinaryIO, durations: list[float]) -> None:
    end = 8 + struct.unpack("<I", _take(file, 12)[4:8])[0]
    while file.tell() < end:
        kind, size = struct.unpack("<4sI", _take(file, 8))
        content = _take(file, size + size % 2)
        if kind == b"ANMF":
            durations.append(float(int.from_bytes(content[12:15], "little")))


def _read_avif(file: BinaryIO, durations: list[float]) -> tuple[list[float], bool] | None:
    for track in read_tracks(file):
        if b"stts" not in track.boxes or b"mdhd" not in track.boxes:
            continue
        header = track.boxes[b"mdhd"]
        scale = struct.unpack_from(">I", header, 20 if header[0] else 12)[0]
        number = struct.unpack_from(">I", track.boxes[b"stts"], 4)[0]
        runs = np.frombuffer(track.boxes[b"stts"], ">u4", 2 * number, 8).reshape(-1, 2)
        for count, span in runs.tolist():
            durations += [float(round(1000 * span / scale))] * count
        return (durations, True) if durations else None
    return None
