"""Opening a video file with PyAV: what is allowed in, which stream is the picture."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av

from oryx.errors import MediaError
from oryx.media.image import describe, open_file, open_header
from oryx.media.limits import decoding_limits

# Self-contained containers only: a playlist (HLS, DASH, concat) could name other files or addresses. And what
# a file names all the same (an MP4 may keep its samples elsewhere), libav has no protocol to open.
DEMUXERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,nut,mxf,ivf,obu,h264,hevc,"
    "m4v,dv,rm,wtv,vc1,yuv4mpegpipe"
)
CONTAINERS = (
    "MP4, MOV, MKV, WebM, AVI, MPEG-TS, MPEG-PS, FLV, WMV, OGG, MXF or an animated GIF, WebP, PNG or AVIF"
)

# Containers whose headers hold the size of the picture, so that libav need not decode to learn it.
MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
MATROSKA_START = b"\x1aE\xdf\xa3"


@contextmanager
def open_container(
    source: str | Path | bytes, threads: bool = True, header_only: bool = False
) -> Iterator[tuple[Any, Any]]:
    """Open a video and find its picture stream; everything is closed when the block ends.

    Args:
        source: a path or the bytes of a file.
        threads: decode with several threads (slower to start, so not for a single frame).
        header_only: keep libav from decoding frames while it opens the file, where the container's header
            tells enough. Presentation times that a container does not store are then worse guesses.

    Yields:
        (container, stream) of PyAV.

    Raises:
        MediaError: the file is missing, empty, not a video, or has no picture stream.
    """
    name = describe(source)
    stream_of_bytes = io.BytesIO(source) if isinstance(source, bytes) else open_file(source, "a video")
    with stream_of_bytes as file:
        head = file.read(8)
        if not head:
            raise MediaError(f"{name} is empty (0 bytes); a video is needed ({CONTAINERS})")
        file.seek(0)
        is_telling = head[4:] in MP4_BOXES or head.startswith(MATROSKA_START)
        limits = decoding_limits()
        # A stream may change its size anywhere; where a frame is larger, libav refuses to decode it.
        codec_options = {"max_pixels": str(limits.max_pixels)}
        skips = {"skip_frame": "all"} if header_only and is_telling else {}
        # The path, not the open file: libav reads it without asking Python for every block.
        target = file if isinstance(source, bytes) else str(Path(source).resolve())
        try:
            container = _open(target, codec_options | skips)
            stream = _picture_stream(container)
            if skips and stream is not None and not stream.codec_context.width:
                container.close()
                file.seek(0)
                container = _open(target, codec_options)
                stream = _picture_stream(container)
        except (av.FFmpegError, OSError, ValueError) as error:
            raise MediaError(_why_not(source, name)) from error
        with container:
            if stream is None:
                kind = "sound but no picture" if container.streams.audio else "no picture stream"
                raise MediaError(f"{name} has {kind}; a video with at least 1 frame is needed")
            stream.codec_context.options = codec_options
            if threads and limits.max_threads != 1:
                stream.thread_type = "AUTO"
                stream.codec_context.thread_count = limits.max_threads or 0  # 0: as many as there are cores
            else:
                stream.codec_context.thread_count = 1
            everything = getattr(getattr(av.stream, "Discard", None), "all", None)  # newer releases of PyAV
            for other in container.streams:
                if other is not stream and everything is not None:
                    other.discard = everything
            yield container, stream


def _open(target: Any, options: dict[str, str]) -> Any:
    allowed = {
        "format_whitelist": DEMUXERS,
        "protocol_whitelist": "file" if isinstance(target, str) else "none",
    }
    return av.open(target, options=options, container_options=allowed, metadata_errors="ignore")


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
