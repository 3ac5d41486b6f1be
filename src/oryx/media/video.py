"""Videos: which frames to take is decided first, and only what is needed for them is decoded."""

import logging
import os
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from oryx.errors import ConfigError, MediaError
from oryx.media.animation import read_animation
from oryx.media.container import open_container
from oryx.media.decode import MissedFrameError, decode_counting, decode_seeking
from oryx.media.focus import AUTO, parse_focus
from oryx.media.image import ImageSource, describe, image_size, open_image
from oryx.media.parallel import decode_parallel, limit_threads, num_workers
from oryx.media.probe import ANIMATION, VideoSource, probe_video, scan_file
from oryx.media.rotation import transpose_of
from oryx.media.sampling import VideoInfo, check_dials, choose_frames, spread, spread_focused
from oryx.media.timeline import Timeline
from oryx.media.views import list_views

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Frame:
    """One upright RGB frame of a clip."""

    index: int
    """Its place in the video (or in the list of pictures)."""
    time: float | None
    """Seconds from the first frame; None for a list of pictures."""
    image: Image.Image


@dataclass(frozen=True)
class Clip:
    """Chosen frames of one video, decoded when they are asked for. All have the same height and width."""

    source: VideoSource | Sequence[ImageSource] = field(repr=False)
    height: int
    width: int
    indices: list[int]
    """Places of the chosen frames in the source."""
    times: list[float] | None
    """Seconds of the chosen frames; None for a list of pictures."""
    info: VideoInfo | None = None
    """None for a list of pictures."""
    keyframes: bool = False
    """The frames are keyframes: the nearest to those that were asked for, so there may be fewer."""

    @property
    def num_frames(self) -> int:
        """How many frames are chosen."""
        return len(self.indices)

    @property
    def frames(self) -> Generator[Frame, None, None]:
        """The chosen frames in order; each access decodes anew. Closing the iterator closes the file."""
        if self.info is not None:
            assert isinstance(self.source, str | Path | bytes)
            return _read(self.source, self.indices, self.info, self.keyframes)
        return self._pictures()

    def _pictures(self) -> Generator[Frame, None, None]:
        for index in self.indices:
            image = open_image(self.source[index])  # type: ignore[index, arg-type]
            yield Frame(index, None, _fit(image, self.height, self.width))


def open_clip(
    source: VideoSource | Sequence[ImageSource],
    max_frames: int = 64,
    fps: float | None = None,
    focus: Any = None,
    keyframes: bool = False,
) -> Clip:
    """Choose the frames of a clip; nothing is decoded until `frames` is read.

    Args:
        source: a video or an animated picture (path or bytes), or a folder of frames, from which frames are
            chosen; or a list of paths or Pillow images, which is used as it is, without sampling.
        max_frames: at most so many frames.
        fps: frames per second of the video; None spreads `max_frames` over it uniformly.
        focus: spans from which at least half of the frames are taken (see `media.focus`); "auto" leaves the
            choice as it is.
        keyframes: take, for each of these moments, the nearest frame that is stored whole. Far less is
            decoded, but moments are off by up to half the distance of keyframes.

    Raises:
        MediaError: the source is missing, broken or has no frame.
        ConfigError: a dial is out of range, `fps` is given for a folder of frames, `keyframes` for anything
            but a video, or the focus lies outside.
    """
    check_dials(max_frames, fps)
    is_path = isinstance(source, str | Path)
    is_file = isinstance(source, bytes) or (is_path and not os.path.isdir(source))  # type: ignore[arg-type]
    info = probe_video(source) if is_file else None  # type: ignore[arg-type]
    return choose_clip(source, info, max_frames, fps, focus, keyframes)


def choose_clip(
    source: VideoSource | Sequence[ImageSource],
    info: VideoInfo | None,
    max_frames: int = 64,
    fps: float | None = None,
    focus: Any = None,
    keyframes: bool = False,
) -> Clip:
    """`open_clip` of a source that was probed already; `info` is None for a folder or a list of pictures."""
    check_dials(max_frames, fps)
    spans = parse_focus(focus)
    if spans == AUTO:
        spans = None
    if info is not None:
        indices = choose_frames(info, max_frames, fps, spans)
        if keyframes:
            info, indices, keyframes = _choose_keyframes(source, info, indices)  # type: ignore[arg-type]
        times = [info.time_of(index) for index in indices]
        return Clip(source, info.height, info.width, indices, times, info, keyframes)
    is_folder = isinstance(source, str | Path)
    if keyframes:
        kind = "folder" if is_folder else "list"
        raise ConfigError(f"keyframes=True needs a video file: a {kind} of pictures has no keyframes")
    pictures = list_views(source)  # type: ignore[arg-type]
    if is_folder and fps is not None:
        raise ConfigError(f"fps={fps} needs a video with timestamps: the folder {describe(source)} has none")
    if is_folder and spans is not None:
        indices = spread_focused(spans.mask(None, len(pictures)), max_frames)
    else:
        indices = spread(len(pictures), max_frames) if is_folder else list(range(len(pictures)))
    height, width = image_size(pictures[0])
    return Clip(pictures, height, width, indices, None)


def _choose_keyframes(
    source: VideoSource, info: VideoInfo, indices: list[int]
) -> tuple[VideoInfo, list[int], bool]:
    """(what is known of the video now, the keyframes nearest to `indices`, True); False without keyframes."""
    if info.codec == ANIMATION:
        raise ConfigError(f"keyframes=True needs a video file: {describe(source)} is an animated picture")
    timeline = info.timeline or scan_file(source)
    if timeline.pts is None:
        logger.warning("%s keeps no times to find keyframes by: the exact frames are read", describe(source))
        return info, indices, False
    last = timeline.num_frames - 1
    nearest = timeline.nearest_keyframes([min(index, last) for index in indices])
    return replace(info, timeline=timeline), nearest, True


def read_frames(source: VideoSource, indices: Sequence[int]) -> Generator[Frame, None, None]:
    """Decode the frames with these indices, exactly; closing the iterator closes the file.

    An index past the end gives the last frame: what is left of a video that was cut off.

    Raises:
        MediaError: as `probe_video`.
        ConfigError: no index, one below 0, or not in ascending order.
    """
    chosen = [int(index) for index in indices]
    if not chosen or chosen[0] < 0 or chosen != sorted(chosen):
        raise ConfigError(f"frame indices are {chosen}: at least one is needed, ascending, none below 0")
    return _read(source, chosen, probe_video(source))


def _read(
    source: VideoSource, indices: list[int], info: VideoInfo, keyframes: bool = False
) -> Generator[Frame, None, None]:
    timeline = info.timeline
    if timeline is None or (timeline.is_predicted and not keyframes):
        timeline = scan_file(source)
    last = max(1, timeline.num_frames) - 1
    if indices[-1] > last:
        logger.warning("%s ends at frame %d: frames asked for after it repeat it", describe(source), last)
    clamped = [min(index, last) for index in indices]
    times = timeline.times
    num_given = 0
    with closing(_decode(source, timeline, sorted(set(clamped)), info, keyframes)) as pictures:
        for rank, image in pictures:
            time = rank / info.fps if times is None else float(times[rank])
            for _ in range(clamped.count(rank)):
                num_given += 1
                yield Frame(rank, time, image)
    if num_given < len(indices):
        raise MediaError(
            f"{describe(source)} is damaged: {num_given} of {len(indices)} frames can be decoded"
        )


def _decode(
    source: VideoSource, timeline: Timeline, ranks: list[int], info: VideoInfo, keyframes: bool
) -> Generator[tuple[int, Image.Image], None, None]:
    """Yield (rank, upright RGB image) for ascending, distinct ranks."""
    if info.codec == ANIMATION:
        for rank, image in read_animation(source, ranks):
            yield rank, _fit(image, info.height, info.width)
        return
    left = list(ranks)
    for find in (_sought, _counted) if timeline.pts is not None else (_counted,):
        try:
            with closing(find(source, timeline, list(left), info, keyframes)) as frames:
                for rank, frame in frames:
                    left.remove(rank)
                    # A bare stream promises nothing: damage at its end is the one sign (threads may miss it).
                    is_last = rank == timeline.num_frames - 1
                    if is_last and frame.is_corrupt and not timeline.loss:  # else it was said already
                        logger.warning("%s is cut off: its last frame is damaged", describe(source))
                    yield rank, _fit(_upright(frame), info.height, info.width)
        except MissedFrameError:
            logger.debug("%s: a frame did not come after a seek, decoding from the start", source)
        if not left:
            return


def _sought(
    source: VideoSource, timeline: Timeline, ranks: list[int], info: VideoInfo, keyframes: bool
) -> Generator[tuple[int, Any], None, None]:
    stretches = [(rank, [rank]) for rank in ranks] if keyframes else timeline.stretches(ranks)
    workers = limit_threads(num_workers(len(stretches)))
    if workers > 1:
        frame_bytes = 3 * info.height * info.width  # of 4:2:0 up to 16 bits, or of 4:4:4
        yield from decode_parallel(source, timeline, stretches, workers, frame_bytes)
        return
    with open_container(source) as (container, stream):
        yield from decode_seeking(container, stream, timeline, stretches)


def _counted(
    source: VideoSource, timeline: Timeline, ranks: list[int], info: VideoInfo, keyframes: bool
) -> Generator[tuple[int, Any], None, None]:
    with open_container(source) as (container, stream):
        yield from decode_counting(container, stream, timeline, ranks)


def _upright(frame: Any) -> Image.Image:
    # PyAV's own to_image() copies row by row in Python.
    plane = frame.reformat(format="rgb24").planes[0]
    size = plane.width, plane.height
    pixels = np.frombuffer(plane, np.uint8)
    image = Image.frombuffer("RGB", size, pixels, "raw", "RGB", plane.line_size, 1)
    transpose = transpose_of(frame)
    return image if transpose is None else image.transpose(transpose)


def _fit(image: Image.Image, height: int, width: int) -> Image.Image:
    """All frames of a clip share one size: a stream that changes its size midway is resized."""
    return image if image.size == (width, height) else image.resize((width, height))
