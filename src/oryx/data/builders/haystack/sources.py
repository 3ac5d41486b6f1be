"""Haystacks: where the frames of a long video come from. They are made or decoded as they are asked for."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Protocol

from PIL import Image

from oryx.data.builders.video_frames import keyframes_near, open_ranks, probe_exact
from oryx.errors import ConfigError, MediaError
from oryx.media.image import image_size, open_image
from oryx.media.probe import probe_video
from oryx.media.sampling import spread
from oryx.media.views import IMAGE_SUFFIXES, list_views

DRAWN = "drawn"


class Haystack(Protocol):
    """A long video of which any number of frames can be taken, all of one size."""

    name: str
    height: int
    width: int
    files: list[Path]
    """Those that it is read from; none if it is drawn."""

    def check(self, num_frames: int) -> None:
        """Raises MediaError where there are not so many frames."""
        ...

    def frames(self, num_frames: int) -> Iterator[Image.Image]:
        """So many RGB frames in order; none is kept."""
        ...


class DrawnHaystack:
    """Muted clutter, drawn by seed: nothing in it can be mistaken for a drawn needle."""

    def __init__(self, seed: int, height: int, width: int) -> None:
        for side in (height, width):
            if not 16 <= side <= 4096:
                raise ConfigError(f"drawn frames are {height}x{width}; sides from 16 to 4096 are possible.")
        self.name = f"drawn {height}x{width}, seed {seed}"
        self.height, self.width, self.files = height, width, list[Path]()
        self._seed = seed

    def check(self, num_frames: int) -> None:
        """There are as many as anyone wants."""

    def frames(self, num_frames: int) -> Iterator[Image.Image]:
        """See `Haystack`. The first frames are the same however many there are."""
        from oryx.data.synthetic.haystack import draw_haystack_frame

        rng = random.Random(f"{self._seed} haystack")
        for index in range(num_frames):
            yield draw_haystack_frame(rng, index, self.height, self.width)


class PictureHaystack:
    """A folder of frames, in natural order; a part of them is spread evenly."""

    def __init__(self, folder: Path) -> None:
        self.name = str(folder)
        self.files = [view for view in list_views(folder) if isinstance(view, Path)]
        self.height, self.width = image_size(self.files[0])

    def check(self, num_frames: int) -> None:
        """See `Haystack`."""
        _check(self.name, len(self.files), num_frames)

    def frames(self, num_frames: int) -> Iterator[Image.Image]:
        """See `Haystack`."""
        self.check(num_frames)
        for place in spread(len(self.files), num_frames):
            yield _sized(open_image(self.files[place]), self.height, self.width)


class VideoHaystack:
    """One video, or several one after the other; frames are spread evenly over all of them.

    Where enough different keyframes lie near the wanted frames these are taken: each is decoded alone.
    """

    def __init__(self, name: str, paths: list[Path]) -> None:
        self.name, self.files = name, paths
        self._videos = [(path, probe_exact(path)) for path in paths]
        self.height, self.width = self._videos[0][1].height, self._videos[0][1].width
        self._total = sum(info.num_frames for _, info in self._videos)

    def check(self, num_frames: int) -> None:
        """See `Haystack`."""
        _check(self.name, self._total, num_frames)

    def frames(self, num_frames: int) -> Iterator[Image.Image]:
        """See `Haystack`."""
        self.check(num_frames)
        wanted, first = spread(self._total, num_frames), 0
        for path, info in self._videos:
            own = [rank - first for rank in wanted if first <= rank < first + info.num_frames]
            first += info.num_frames
            if not own:
                continue
            keyframes = keyframes_near(info, own)
            clip = open_ranks(path, info, keyframes if len(keyframes) == len(own) else own)
            with closing(clip.frames) as frames:
                for frame in frames:
                    yield _sized(frame.image, self.height, self.width)


def open_haystack(name: str, seed: int, height: int, width: int) -> Haystack:
    """ "drawn" (of this size and seed), a video, a folder of frames, or one of videos at any depth.

    Raises:
        MediaError: nothing of this kind is there.
        ConfigError: a size that cannot be drawn.
    """
    if name == DRAWN:
        return DrawnHaystack(seed, height, width)
    try:
        return _open_path(name, Path(name))
    except OSError as error:  # a folder that may not be read, a name that is too long
        raise MediaError(f"the haystack '{name}' cannot be read ({error.strerror}).") from None


def _open_path(name: str, path: Path) -> Haystack:
    if not path.exists():
        raise MediaError(f"the haystack '{name}' does not exist; allowed: drawn, a video, or a folder.")
    if not path.is_dir():
        return VideoHaystack(name, [path])
    if any(entry.suffix.lower() in IMAGE_SUFFIXES for entry in path.iterdir() if entry.is_file()):
        return PictureHaystack(path)
    videos = []
    for file in sorted(path.rglob("*")):
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(path).parts):
            try:
                probe_video(file)
            except MediaError:
                continue  # notes, subtitles
            videos.append(file)
    if not videos:
        raise MediaError(f"the folder '{name}' holds neither pictures nor videos.")
    return VideoHaystack(name, videos)


def _check(name: str, there: int, wanted: int) -> None:
    if there < wanted:
        raise MediaError(
            f"the haystack '{name}' has {there:,} frames; {wanted:,} are needed beside the needle."
        )


def _sized(image: Image.Image, height: int, width: int) -> Image.Image:
    return image if image.size == (width, height) else image.resize((width, height))
