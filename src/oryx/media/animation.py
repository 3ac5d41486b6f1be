"""Animated pictures (GIF, WebP, PNG, AVIF) as videos, read with Pillow."""

import io
import logging
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image, features

from oryx.errors import MediaError
from oryx.media.blocks import frame_durations
from oryx.media.image import check_size, describe, open_file, open_header, to_rgb
from oryx.media.timeline import Timeline

logger = logging.getLogger(__name__)

DEFAULT_DURATION = 100  # ms, what browsers show a frame for that asks for (next to) nothing
SIGNATURES = (b"GIF8", b"\x89PNG\r\n\x1a\n")
AVIF_SIGNATURES = (b"ftypavis", b"ftypavif")
MAX_READS = 200_000
"""A tenth of a second."""


class CutOffError(Exception):
    """A frame of an animation is there in part only, or broken."""


def is_animation(source: str | Path | bytes) -> bool:
    """Whether the file is a GIF, or a WebP, PNG or AVIF (still or animated), from its first bytes."""
    if isinstance(source, bytes):
        head = source[:12]
    else:
        with open_file(source, "a video") as file:
            head = file.read(12)
    if head[4:12] in AVIF_SIGNATURES:
        # libav shows only the first picture of it; but not every Pillow has the decoder.
        return "avif" in features.modules and features.check("avif") is True
    return head.startswith(SIGNATURES) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


def is_played(data: bytes) -> bool:
    """`media.image.is_animated` of a file's bytes, for whoever must not let a hostile one near a decoder.

    It walks over the blocks of the file, and gives up after `MAX_READS` of them. An AVIF is believed.
    """
    if data.startswith(b"GIF8"):
        file_format = "GIF"
    elif data.startswith(SIGNATURES) and 0 < data.find(b"acTL") < data.find(b"IDAT"):
        file_format = "PNG"
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        file_format = "WEBP"
    else:
        return data[4:12] == AVIF_SIGNATURES[0]
    found = frame_durations(_FewReads(data), file_format)
    return found is not None and len(found[0]) > 1


class _FewReads(io.BytesIO):
    """A file that ends early for who reads it in very small steps."""

    num_left = MAX_READS

    def read(self, size: int | None = -1, /) -> bytes:
        self.num_left -= 1
        return super().read(size) if self.num_left >= 0 else b""


def probe_animation(source: str | Path | bytes) -> tuple[int, int, Timeline, float]:
    """(height, width, timeline in milliseconds, seconds in all) of an animated picture, from its blocks.

    Raises:
        MediaError: broken, or a still picture.
    """
    name = describe(source)
    with open_header(source) as image:
        # A GIF of one frame is still a clip; any other of one frame is a picture under a wrong name.
        if image.format != "GIF" and not getattr(image, "is_animated", False):
            raise MediaError(f"{name} is a still picture ({image.format}), not a video: give it as an image")
        # A GIF promises no number: Pillow would have to go through the file once more to count.
        promised = 0 if image.format == "GIF" else getattr(image, "n_frames", 0)
        with io.BytesIO(source) if isinstance(source, bytes) else open_file(source, "a video") as file:
            found = frame_durations(file, image.format or "")
        if found is None or (found[1] and promised and len(found[0]) != promised):
            found = _load_durations(image)  # blocks that do not add up: Pillow shows what it makes of them
        durations, is_whole = [_shown(duration) for duration in found[0]], found[1]
        if not durations:
            raise MediaError(f"{name} is truncated or broken: not one frame can be read")
        if promised > len(durations):
            logger.warning(
                "%s is cut off: only %d of its %d frames are there", name, len(durations), promised
            )
        elif not is_whole:
            logger.warning("%s is cut off: only the first %d frames are there", name, len(durations))
        starts = np.concatenate([[0], np.cumsum(durations)])
        timeline = Timeline(len(durations), starts[:-1].astype(np.int64), np.zeros(1, np.int64), 0.001)
        return image.height, image.width, timeline, float(starts[-1]) * 0.001


def read_animation(source: str | Path | bytes, ranks: list[int]) -> Iterator[tuple[int, Image.Image]]:
    """Yield (rank, RGB image) of the wanted frames (ascending ranks); only they are converted."""
    wanted = set(ranks)
    with open_header(source) as image, suppress(CutOffError):
        for rank, frame in _frames(image):
            if rank in wanted:
                yield rank, to_rgb(frame, describe(source))
            if rank >= ranks[-1]:
                return


def _frames(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    rank = 0
    while True:
        try:
            image.seek(rank)
            check_size(image, "a frame of it")  # of a GIF it may be larger than the header says
            image.load()
        except EOFError:
            return
        except MediaError:
            raise
        except Exception as error:  # Pillow's readers raise all kinds where the file is cut off or broken
            raise CutOffError from error
        yield rank, image
        rank += 1


def _load_durations(image: Image.Image) -> tuple[list[float], bool]:
    durations: list[float] = []
    with suppress(CutOffError):
        for _, frame in _frames(image):
            durations.append(float(frame.info.get("duration") or 0))
        return durations, True
    return durations, False


def _shown(duration: float) -> float:
    return duration if duration > 10 else DEFAULT_DURATION
