"""Where the frames of clips are kept: published patch files, or a folder of JPEG files for each clip."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from oryx.errors import ConfigError

LAYOUTS = ("patch", "folder")
PATCH_BYTES = 2**30
"""A patch file that has grown so large is followed by another."""

Place = Any
"""What a record's `video_long` holds: {"patch", "start_num", "size"}, or the path of a folder."""


class FrameStore(Protocol):
    """Keeps the frames of clips below one folder; places are relative to it."""

    def write(self, number: int, frames: Iterable[bytes]) -> Place:
        """Keep the frames of clip `number`.

        Raises:
            OSError: the disk refuses; nothing is kept then.
            ConfigError: frames kept before are gone.
        """
        ...

    def read(self, place: Place, index: int) -> bytes:
        """Frame `index` of a clip."""
        ...


def make_store(folder: Path, layout: str, known: Iterable[Place] = (), suffix: str = ".jpg") -> FrameStore:
    """The store of a layout; what is not among the `known` places was never finished, and is dropped.

    Raises:
        ConfigError: a layout that is not in `LAYOUTS`.
    """
    if layout not in LAYOUTS:
        raise ConfigError(f"layout is {layout!r}; allowed: {', '.join(LAYOUTS)}.")
    if layout == "patch":
        return PatchStore(folder, [place for place in known if isinstance(place, Mapping)])
    return FolderStore(folder, suffix)


class PatchStore:
    """Frames one after the other in large files, as the published data has them.

    A clip is `{"patch": file, "start_num": first byte, "size": [bytes of each frame]}`.
    """

    FOLDER = "patches"

    def __init__(self, folder: Path, known: Sequence[Mapping[str, Any]], limit: int = PATCH_BYTES) -> None:
        self.folder = folder
        self.limit = limit
        self._number, self._end = 0, 0
        for place in known:
            number = int(place["patch"].rpartition("_")[2])
            end = place["start_num"] + sum(place["size"])
            self._number, self._end = max((self._number, self._end), (number, end))

    def write(self, number: int, frames: Iterable[bytes]) -> dict[str, Any]:
        """See `FrameStore`."""
        if self._end >= self.limit:
            self._number, self._end = self._number + 1, 0
        name = f"{self.FOLDER}/patch_{self._number:05d}"
        path = self.folder / name
        # A shorter file would be filled up with zeros, into which the records of before would point.
        if (path.stat().st_size if path.exists() else 0) < self._end:
            raise ConfigError(f"frames of an earlier run are gone ({path}); choose another output.")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.truncate(self._end)  # the rest of a clip that was cut off
            file.seek(0, os.SEEK_END)
            sizes = [file.write(frame) for frame in frames]
            file.flush()
            os.fsync(file.fileno())
        start, self._end = self._end, self._end + sum(sizes)
        return {"patch": name, "start_num": start, "size": sizes}

    def read(self, place: Mapping[str, Any], index: int) -> bytes:
        """See `FrameStore`."""
        with (self.folder / place["patch"]).open("rb") as file:
            file.seek(place["start_num"] + sum(place["size"][:index]))
            return file.read(place["size"][index])


class FolderStore:
    """`frames/clip_000012/000000.jpg`: a clip is the path of its folder."""

    FOLDER = "frames"

    def __init__(self, folder: Path, suffix: str = ".jpg") -> None:
        self.folder = folder
        self.suffix = suffix

    def write(self, number: int, frames: Iterable[bytes]) -> str:
        """See `FrameStore`."""
        name = f"{self.FOLDER}/clip_{number:06d}"
        target = self.folder / name
        staging = target.with_name(f".{target.name}.part")
        shutil.rmtree(staging, ignore_errors=True)
        shutil.rmtree(target, ignore_errors=True)  # moved there, but never recorded
        staging.mkdir(parents=True)
        try:
            for index, frame in enumerate(frames):
                (staging / self._file(index)).write_bytes(frame)
            os.replace(staging, target)
        except OSError:
            shutil.rmtree(staging, ignore_errors=True)
            raise
        return name

    def read(self, place: str, index: int) -> bytes:
        """See `FrameStore`."""
        return (self.folder / place / self._file(index)).read_bytes()

    def _file(self, index: int) -> str:
        return f"{index:06d}{self.suffix}"


def read_frame(store: FrameStore, place: Place, index: int) -> bytes:
    """A kept frame. Raises ConfigError for one that is gone: the folder was changed by someone else."""
    try:
        frame = store.read(place, index)
    except OSError as error:
        raise ConfigError(f"frames of an earlier run are gone ({error}); choose another output.") from None
    if not frame:
        raise ConfigError(f"frames of an earlier run are gone ({place}); choose another output.")
    return frame
