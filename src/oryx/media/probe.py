"""What a video is, from its header and index: no picture is decoded where these tell enough."""

import io
import logging
from pathlib import Path
from typing import Any, TypeAlias

from PIL import Image

from oryx.errors import MediaError
from oryx.media.animation import is_animation, probe_animation
from oryx.media.container import open_container
from oryx.media.decode import decode_all
from oryx.media.image import describe, open_file
from oryx.media.index import predicted, tabled
from oryx.media.isobmff import read_tracks
from oryx.media.limits import decoding_limits
from oryx.media.matroska import read_matrix
from oryx.media.rotation import ROTATIONS, transpose_of, transpose_of_matrix, turns_itself
from oryx.media.sampling import VideoInfo
from oryx.media.timeline import Timeline, is_sound, scan

logger = logging.getLogger(__name__)

VideoSource: TypeAlias = str | Path | bytes

# Reading every packet of a file up to this size takes a blink; of a larger one, a sound header is believed.
SCAN_BYTES = 2**25
DEFAULT_RATE = 25.0  # frames per second where a stream names none, as in libav
ANIMATION = "animation"


def probe_video(source: VideoSource) -> VideoInfo:
    """Read what a video is: size, frames, rate, rotation.

    No picture is decoded, except the first where the header does not tell its size or how it is turned.

    Raises:
        MediaError: missing, empty, not a video, a live stream, or without a frame. A video none of whose
            frames can be decoded is found out when they are read.
    """
    if is_animation(source):
        height, width, frames, duration = probe_animation(source)
        rate = frames.num_frames / duration
        return VideoInfo(height, width, frames.num_frames, rate, duration, codec=ANIMATION, timeline=frames)
    name = describe(source)
    with open_container(source, threads=False, header_only=True) as (container, stream):
        context = stream.codec_context
        height, width = context.height, context.width
        most = decoding_limits().max_pixels
        if height * width > most:
            size = f"{height:,} x {width:,}"
            raise MediaError(f"{name} has frames of {size} pixels: at most {most:,} are allowed")
        timeline, transpose, is_known = _read_header(source, container, stream)
        promised, rate, codec = stream.frames, float(stream.average_rate or DEFAULT_RATE), context.name
        is_large = container.size > SCAN_BYTES
        is_believed = timeline is None and is_large and is_sound(container, stream)
    if timeline is None and not is_believed:
        timeline = scan_file(source)
    num_frames = promised if timeline is None else timeline.num_frames
    if not num_frames:
        raise MediaError(f"{name} has no frame; at least 1 is needed")
    if not (is_known and height and width):
        height, width, transpose = _decode_first(source)
    if timeline is not None and timeline.loss:
        logger.warning("%s %s", name, timeline.loss)
    times = timeline.times if timeline is not None else None
    if times is not None and num_frames > 1:
        measured = (num_frames - 1) / float(times[-1])
        # A container that rounds its times to milliseconds knows the rate better than they do.
        rate = rate if abs(measured / rate - 1) < 0.01 else measured
    rotation = 0 if transpose is None else ROTATIONS[transpose]
    height, width = (height, width) if rotation in (0, 180) else (width, height)
    return VideoInfo(height, width, num_frames, rate, num_frames / rate, rotation, codec, timeline)


def scan_file(source: VideoSource) -> Timeline:
    """The timeline from all packets of a file."""
    with open_container(source, threads=False) as (container, stream):
        return scan(container, stream)


def _read_header(
    source: VideoSource, container: Any, stream: Any
) -> tuple[Timeline | None, Image.Transpose | None, bool]:
    """(timeline, how frames must be turned, whether that is known) of a freshly opened video."""
    timeline: Timeline | None = None
    matrix: tuple[float, float, float, float] | None = None
    is_turned_by_codec = turns_itself(container, stream)
    if container.format.name.startswith("mov,"):
        with _open(source) as file:
            track = next((track for track in read_tracks(file) if track.number == stream.id), None)
        matrix = None if track is None else track.matrix
        timeline = tabled(container, stream, track)
    elif container.format.name.startswith("matroska,"):
        place = [other.index for other in container.streams.video].index(stream.index)
        with _open(source) as file:
            matrix = read_matrix(file, place)
        timeline = predicted(container, stream) if container.size > SCAN_BYTES else None
    else:
        matrix = (1, 0, 0, 1)  # no other container turns its pictures
    if matrix is None or is_turned_by_codec:
        return timeline, None, False
    return timeline, transpose_of_matrix(*matrix), True


def _decode_first(source: VideoSource) -> tuple[int, int, Image.Transpose | None]:
    """Height and width as stored, and how to turn, of the first frame that can be decoded.

    Needed where the header is out of the ordinary, or the codec's own data turns the frames: libav puts that
    together only while it decodes.
    """
    with open_container(source, threads=False) as (container, stream):
        first = next(decode_all(container, stream), None)
    if first is None:
        raise MediaError(f"{describe(source)} has no frame that can be decoded; at least 1 is needed")
    return first.height, first.width, transpose_of(first)


def _open(source: VideoSource) -> Any:
    return io.BytesIO(source) if isinstance(source, bytes) else open_file(source, "a video")
