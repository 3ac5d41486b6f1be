"""Long clips of the videos in a folder: which stretch, which frames, and the frames themselves, small."""

from __future__ import annotations

import io
import random
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from oryx.data.builders.needle.scene_cuts import thumbnail
from oryx.data.builders.needle.settings import NeedleSettings
from oryx.data.builders.needle.targets import Look, look_at
from oryx.data.builders.video_frames import keyframes_near, open_ranks, probe_exact
from oryx.errors import MediaError
from oryx.media.sampling import VideoInfo


class UnsuitableError(MediaError):
    """A video, or a stretch of one, that no record can be made of."""


@dataclass(frozen=True)
class ClipFrames:
    """A clip's frames, ready to be kept."""

    jpegs: list[bytes]
    looks: list[Look]
    times: list[float]
    """Seconds of each frame in its video."""


@dataclass
class VideoFolder:
    """The files of a folder, inner folders included, in an order drawn by seed.

    A file is opened when its turn comes, so that a folder of thousands starts at once; what turned out to be
    no video, or one too short, stands in `unusable` with the reason.
    """

    path: Path
    seed: int
    names: list[str] = field(init=False)
    """Paths below the folder, sorted."""
    unusable: dict[str, str] = field(init=False, default_factory=dict)
    _known: dict[str, VideoInfo] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        if not self.path.is_dir():
            problem = "is not a folder" if self.path.exists() else "does not exist"
            raise MediaError(f"'{self.path}' {problem}; a folder of videos is needed there.")
        files = (path.relative_to(self.path) for path in self.path.rglob("*") if path.is_file())
        self.names = sorted(
            str(name) for name in files if not any(part.startswith(".") for part in name.parts)
        )
        if not self.names:
            raise MediaError(f"the folder '{self.path}' is empty; at least 1 video is needed in it.")

    def draw(self, number: int) -> str:
        """The file of clip `number`: every file once, in an order of its own for each round."""
        turn, place = divmod(number, len(self.names))
        order = list(self.names)
        random.Random(f"{self.seed} round {turn}").shuffle(order)
        return order[place]

    def read(self, number: int, settings: NeedleSettings) -> ClipFrames:
        """Clip `number`, which depends on the files, the seed and the number alone.

        Raises:
            UnsuitableError: its file is no video or has no room for a clip; it is then in `unusable`.
            MediaError: the video is damaged.
        """
        name = self.draw(number)
        if name in self.unusable:
            raise UnsuitableError(self.unusable[name])
        rng = random.Random(f"{settings.seed} clip {number}")
        try:
            if name not in self._known:
                self._known[name] = probe_exact(self.path / name)
            info = self._known[name]
            _check_room(info, settings)
        except MediaError as error:
            self.unusable[name] = str(error)
            raise UnsuitableError(str(error)) from None
        chosen = choose_clip_frames(info, settings, rng)
        return read_clip(self.path / name, info, chosen, settings)


def choose_clip_frames(info: VideoInfo, settings: NeedleSettings, rng: random.Random) -> list[int]:
    """Indices of a clip's frames, ascending: spread evenly over a stretch drawn at random.

    The stretch is at least so long that frames are `min_step` seconds apart, at most the whole video. Where
    enough different keyframes lie near the wanted frames these are taken: each is decoded alone.

    Raises:
        UnsuitableError: the video is too short for the fewest frames, or shows too few in the stretch.
    """
    low, high = settings.frames
    most = _check_room(info, settings)
    num_frames = rng.randint(low, min(high, most))
    length = rng.uniform(num_frames * settings.min_step, info.end)
    start = rng.uniform(0, info.end - length)
    moments = start + (np.arange(num_frames) + 0.5) * (length / num_frames)
    ranks = np.searchsorted(info.times, moments, side="right") - 1
    chosen = np.unique(ranks.clip(0, info.num_frames - 1)).tolist()
    if len(chosen) < low:  # a slide show: one frame stands for many moments
        raise UnsuitableError(f"it shows {len(chosen)} different frames in {length:.0f} s; {low} are needed")
    keyframes = keyframes_near(info, chosen)
    inside = [rank for rank in keyframes if start <= info.time_of(rank) <= start + length]
    return inside if len(inside) >= low else chosen


def read_clip(path: Path, info: VideoInfo, indices: Sequence[int], settings: NeedleSettings) -> ClipFrames:
    """Decode, shrink and judge the frames, one at a time. Raises MediaError for a damaged video."""
    clip = open_ranks(path, info, indices)
    jpegs, looks = [], []
    with closing(clip.frames) as frames:
        for frame in frames:
            small = _shrink(frame.image, settings.max_pixels)
            jpegs.append(as_jpeg(small, settings.quality))
            looks.append(look_at(small, thumbnail(small)))
    return ClipFrames(jpegs, looks, clip.times or [])


def _check_room(info: VideoInfo, settings: NeedleSettings) -> int:
    """How many frames a clip may have; refuses a video with too few."""
    most = min(info.num_frames, int(info.end / settings.min_step))
    if most < settings.frames[0]:
        raise UnsuitableError(
            f"it has room for {most} frames {settings.min_step:g} s apart ({info.end:.1f} s); "
            f"{settings.frames[0]} are needed"
        )
    return most


def as_jpeg(image: Image.Image, quality: int) -> bytes:
    """The picture as JPEG, 4:2:0."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def _shrink(image: Image.Image, max_pixels: int) -> Image.Image:
    scale = (max_pixels / (image.height * image.width)) ** 0.5
    if scale >= 1:
        return image
    size = max(1, int(image.width * scale)), max(1, int(image.height * scale))
    return image.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)
