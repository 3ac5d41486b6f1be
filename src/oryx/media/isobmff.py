"""The header of an MP4 or MOV file: how each track is turned, and when each of its frames is shown.

libav tells neither without reading packets or decoding. Only plain files are understood; whatever is unusual
(fragments, several edits, a table that does not add up) is left to libav by giving nothing.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

MAX_HEADER = 2**28  # bytes; ten hours of video and sound need a tenth of it
CONTAINERS = (b"moov", b"trak", b"edts", b"mdia", b"minf", b"stbl")
Matrix = tuple[int, int, int, int]


@dataclass(frozen=True)
class Track:
    """One track."""

    number: int
    matrix: Matrix
    """(a, b, c, d) of the display matrix, in units of 1/65536: x' = a x + c y, y' = b x + d y."""
    boxes: dict[bytes, memoryview]
    """The content of each box of the track by its type."""
    movie: dict[bytes, memoryview]
    """The same of the boxes beside the tracks."""

    def samples(self, file_size: int) -> tuple[np.ndarray, np.ndarray] | None:
        """Presentation times (up to one constant, in ticks of the track) and keyframe flags, as stored.

        None where the table is not plain, or where part of what it lists lies behind the end of the file.
        """
        try:
            return self._samples(file_size)
        except (KeyError, ValueError, IndexError, OverflowError, struct.error):
            return None

    def _samples(self, file_size: int) -> tuple[np.ndarray, np.ndarray] | None:
        if b"mvex" in self.movie or not self._has_plain_edits():
            return None
        counts, spans = _pairs(self.boxes[b"stts"])
        num_samples = int(counts.sum())
        fixed, num_sizes = struct.unpack_from(">II", self.boxes[b"stsz"], 4)
        sizes = np.full(num_sizes, fixed) if fixed else _numbers(self.boxes[b"stsz"], 12, num_sizes)
        if not num_samples or num_samples != num_sizes or not self._is_whole(sizes, file_size):
            return None
        times = np.zeros(num_samples, dtype=np.int64)
        np.cumsum(np.repeat(spans, counts)[:-1], out=times[1:])
        if b"ctts" in self.boxes:
            counts, shifts = _pairs(self.boxes[b"ctts"])
            if counts.sum() != num_samples:
                return None
            times = times + np.repeat(shifts.astype(np.uint32).view(np.int32), counts)
        flags = np.ones(num_samples, dtype=bool)
        if b"stss" in self.boxes:
            flags[:] = False
            number = struct.unpack_from(">I", self.boxes[b"stss"], 4)[0]
            flags[_numbers(self.boxes[b"stss"], 8, number) - 1] = True
        return times, flags

    def _is_whole(self, sizes: np.ndarray, file_size: int) -> bool:
        """Whether the chunk that is stored last ends within the file."""
        wide = b"co64" in self.boxes
        box = self.boxes[b"co64" if wide else b"stco"]
        number = struct.unpack_from(">I", box, 4)[0]
        offsets = _numbers(box, 8, number, ">u8" if wide else ">u4")
        runs = _numbers(self.boxes[b"stsc"], 8, 3 * struct.unpack_from(">I", self.boxes[b"stsc"], 4)[0])
        first, per_chunk, _ = runs.reshape(-1, 3).T
        in_chunk = np.repeat(per_chunk, np.diff(np.append(first, number + 1)))
        last = int(np.argmax(offsets))
        begin = int(in_chunk[:last].sum())
        stored = int(sizes[begin : begin + in_chunk[last]].sum())
        return int(in_chunk.sum()) == len(sizes) and int(offsets[last]) + stored <= file_size

    def _has_plain_edits(self) -> bool:
        """Whether the track plays once from one moment on, perhaps after a pause."""
        box = self.boxes.get(b"elst")
        if box is None:
            return True
        kind, size = (">Qqhh", 20) if box[0] else (">Iihh", 12)
        number = struct.unpack_from(">I", box, 4)[0]
        edits = [struct.unpack_from(kind, box, 8 + size * place) for place in range(min(number, 3))]
        plays = [edit for edit in edits if edit[1] >= 0]
        return len(plays) == 1 and number - len(plays) <= 1 and edits[-1] == plays[0] and plays[0][2] == 1


def read_tracks(file: BinaryIO) -> list[Track]:
    """The tracks of an open file; [] where it is no MP4 or its header cannot be followed."""
    try:
        header = _find_header(file)
        if header is None:
            return []
        movie: dict[bytes, memoryview] = {}
        tracks: list[dict[bytes, memoryview]] = []
        for kind, content in _boxes(header):
            if kind == b"trak":
                tracks.append(dict(_leaves(content)))
            else:
                movie[kind] = content
        return [Track(_number(boxes), _matrix(boxes, movie), boxes, movie) for boxes in tracks]
    except (struct.error, OSError, ValueError, KeyError, IndexError):
        return []


def _find_header(file: BinaryIO) -> memoryview | None:
    file.seek(0)
    while len(head := file.read(16)) >= 8:
        size, kind = struct.unpack_from(">I4s", head)
        begin = 8
        if size == 1:
            size, begin = struct.unpack_from(">Q", head, 8)[0], 16
        if kind == b"moov":
            if not begin <= size <= MAX_HEADER:
                return None
            file.seek(begin - len(head), 1)
            content = file.read(size - begin)
            return memoryview(content) if len(content) == size - begin else None
        if size < begin:
            return None
        file.seek(size - len(head), 1)
    return None


def _boxes(content: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    place = 0
    while place + 8 <= len(content):
        size, kind = struct.unpack_from(">I4s", content, place)
        if size < 8:
            return
        yield kind, content[place + 8 : place + size]
        place += size


def _leaves(content: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    for kind, inner in _boxes(content):
        if kind in CONTAINERS:
            yield from _leaves(inner)
        else:
            yield kind, inner


def _number(boxes: dict[bytes, memoryview]) -> int:
    header = boxes[b"tkhd"]
    return struct.unpack_from(">I", header, 20 if header[0] else 12)[0]


def _matrix(boxes: dict[bytes, memoryview], movie: dict[bytes, memoryview]) -> Matrix:
    """The matrix of the track, then that of the movie."""
    parts = []
    for box, after in ((boxes[b"tkhd"], 8), (movie[b"mvhd"], 28)):  # bytes after the matrix
        values = struct.unpack_from(">9i", box, max(0, len(box) - after - 36))
        parts.append((values[0], values[1], values[3], values[4]))
    (a, b, c, d), (e, f, g, h) = parts
    one = 1 << 16
    return (
        (a * e + b * g) // one,
        (a * f + b * h) // one,
        (c * e + d * g) // one,
        (c * f + d * h) // one,
    )


def _numbers(box: memoryview, begin: int, number: int, kind: str = ">u4") -> np.ndarray:
    return np.frombuffer(box, kind, number, begin).astype(np.int64)


def _pairs(box: memoryview) -> tuple[np.ndarray, np.ndarray]:
    pairs = _numbers(box, 8, 2 * struct.unpack_from(">I", box, 4)[0]).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]
