"""Opening a video file with PyAV: what is allowed in, which stream is the picture, how it must be turned."""

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
from PIL import Image

from oryx.errors import MediaError
from oryx.media.image import describe, open_file, open_header

# Self-contained containers only: a playlist (HLS, DASH, concat) could name other files or addresses.
DEMUXERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,nut,mxf,ivf,obu,h264,hevc,"
    "m4v,dv,rm,wtv,vc1,yuv4mpegpipe"
)
CONTAINERS = (
    "MP4, MOV, MKV, WebM, AVI, MPEG-TS, MPEG-PS, FLV, WMV, OGG, MXF or an animated GIF, WebP, PNG or AVIF"
)

# (a, b, c, d) of a display matrix: x' = a x + c y, y' = b x + d y, with y downwards.
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


@contextmanager
def open_container(source: str | Path | bytes, threads: bool = True) -> Iterator[tuple[Any, Any]]:
    """Open a video and find its picture stream; everything is closed when the block ends.

    Args:
        source: a path or the bytes of a file.
        threads: decode with several threads (slower to start, so not for a single frame).

    Yields:
        (container, stream) of PyAV.

    Raises:
        MediaError: the file is missing, empty, not a video, or has no picture stream.
    """
    name = describe(source)
    stream_of_bytes = io.BytesIO(source) if isinstance(source, bytes) else open_file(source, "a video")
    with stream_of_bytes as file:
        if not file.read(1):
            raise MediaError(f"{name} is empty (0 bytes); a video is needed ({CONTAINERS})")
        file.seek(0)
        # The path, not the open file: libav reads it without asking Python for every block.
        target = file if isinstance(source, bytes) else str(Path(source).resolve())
        try:
            container = av.open(
                target, container_options={"format_whitelist": DEMUXERS}, metadata_errors="ignore"
            )
        except (av.FFmpegError, OSError, ValueError) as error:
            raise MediaError(_why_not(source, name)) from error
        with container:
            stream = _picture_stream(container)
            if stream is None:
                kind = "sound but no picture" if container.streams.audio else "no picture stream"
                raise MediaError(f"{name} has {kind}; a video with at least 1 frame is needed")
            if threads:
                stream.thread_type = "AUTO"
            else:
                stream.codec_context.thread_count = 1
            everything = getattr(getattr(av.stream, "Discard", None), "all", None)  # newer releases of PyAV
            for other in container.streams:
                if other is not stream and everything is not None:
                    other.discard = everything
            yield container, stream


def transpose_of(frame: Any) -> Image.Transpose | None:
    """How a decoded frame must be turned to stand upright, from its display matrix."""
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return None
    a, b, _, c, d, *_ = struct.unpack("=9i", bytes(matrix)[:36])
    unit = max(abs(value) for value in (a, b, c, d)) or 1
    # Quarter turns only: any other angle is taken as the nearest of them.
    return TRANSPOSES.get((round(a / unit), round(b / unit), round(c / unit), round(d / unit)))


def _picture_stream(container: Any) -> Any | None:
    for stream in container.streams.video:
        # The cover of a song is a video stream, too.
        if (
            not stream.disposition & type(stream.disposition).attached_pic
            and stream.codec_context is not None
        ):
            return stream
    return None


def _why_not(source: str | Path | bytes, name: str) -> str:
    try:
        with open_header(source) as image:
            return f"{name} is a still picture ({image.format}), not a video: give it as an image"
    except MediaError:
        return f"{name} is not a video, or is cut off or broken; allowed are {CONTAINERS}"
