"""Media as records name them: paths, bytes, and stretches of larger files, read when they are needed."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from oryx.errors import MediaError
from oryx.media.image import image_size, open_image

# What starts so is no path below a root: it is the medium itself, or stands somewhere else.
_SCHEMES = ("data:", "file://", "http://", "https://")
# A picture's header nearly always ends within these bytes; where it does not, the whole file is read.
_HEAD_BYTES = 1 << 16


@dataclass(frozen=True)
class Slice:
    """A medium that is a stretch of a larger file: of a patch file, or of a shard."""

    file: str
    start: int
    """Offset of its first byte."""
    size: int
    """Bytes."""
    is_base64: bool = False
    """The stretch is base64 text."""
    name: str = ""
    """Its name inside the file, if it has one."""

    def __str__(self) -> str:
        return f"{self.file} {self.name}" if self.name else f"{self.file} at byte {self.start:,}"

    def read(self) -> bytes:
        """The medium's bytes.

        Raises:
            MediaError: the file is missing, ends too early, or holds no base64 text.
        """
        data = self._read(self.size)
        if not self.is_base64:
            return data
        try:
            return base64.b64decode(data, validate=True)
        except ValueError:
            raise MediaError(f"{self}: the {self.size:,} bytes are not base64 text") from None

    def read_picture_head(self) -> bytes:
        """At least as many of the first bytes as tell the size of a picture. Raises MediaError as `read`."""
        if self.is_base64 or self.size <= _HEAD_BYTES:
            return self.read()
        head = self._read(_HEAD_BYTES)
        try:
            image_size(head)
        except MediaError:
            return self.read()
        return head

    def _read(self, size: int) -> bytes:
        try:
            with open(self.file, "rb") as file:
                # Asked first: a size that is a slip of the pen may be more than memory, or any number, holds.
                if self.start + size <= os.fstat(file.fileno()).st_size:
                    file.seek(self.start)
                    return file.read(size)
        except (OSError, ValueError) as error:  # ValueError: a null byte in the path
            raise MediaError(f"{self.file} cannot be read ({error})") from None
        raise MediaError(f"{self}: {self.size:,} bytes are needed, but the file ends before")


class Frames(tuple[Any, ...]):
    """Stored frames of one video, of which `max_frames` are chosen, as from a video file.

    A plain list of pictures, on the other hand, is used as it is.
    """


@dataclass(frozen=True)
class Opener:
    """Turns what a record names as a medium into something that can be opened."""

    root: Path
    """Folder that relative paths start from."""
    members: Mapping[str, Slice] = field(default_factory=dict)
    """Media that come with the record, by name."""

    @property
    def place(self) -> str:
        """The root as every process finds it, wherever it was started."""
        return str(self.root.absolute())

    def resolve(self, value: Any) -> Any:
        """A path, bytes, a picture or a `Slice`, or a list or `Frames` of these.

        Args:
            value: a path or address; bytes; a picture; {"patch", "start_num", "size"} with one size or a list
                of them; {"img_path"}; {"bytes", "path"} as `datasets` has it; {"url"}; {"frames": [...]}; or
                a list of these.

        Raises:
            MediaError: it is nothing of these.
        """
        if isinstance(value, str):
            return self.members.get(value) or self.below(value)
        if isinstance(value, bytes | Image.Image):
            return value
        if isinstance(value, list | tuple):
            return [self.resolve(item) for item in value]
        if isinstance(value, Mapping):
            given = {key: item for key, item in value.items() if item is not None}
            if "patch" in given:
                return self._patch(given)
            if isinstance(given.get("frames"), list):
                return Frames(self.resolve(item) for item in given["frames"])
            for key in ("img_path", "bytes", "path", "url"):
                if isinstance(given.get(key), str | bytes):
                    return self.resolve(given[key])
        raise MediaError(f"a medium is {_show(value)}; it must be a path, bytes, or a place in a patch file")

    def below(self, path: str) -> str:
        """The path below the root; addresses stay as they are."""
        return path if path.startswith(_SCHEMES) else str(self.root / path)

    def _patch(self, given: Mapping[str, Any]) -> Any:
        """The published form; frames of a video lie one after the other, so only the first has an offset."""
        sizes = given.get("size")
        try:
            start, file = int(given["start_num"]), str(self.root / given["patch"])
            numbers = [int(size) for size in (sizes if isinstance(sizes, list | tuple) else [sizes])]  # type: ignore[arg-type]
        except (KeyError, OverflowError, TypeError, ValueError):
            numbers = []
        if not numbers or start < 0 or min(numbers) < 1:
            raise MediaError(
                f"a medium is {_show(given)}; a place in a patch file has patch, start_num (at least 0) and "
                "size (at least 1, or a list of such)"
            )
        is_base64 = given.get("image_encoding") == "base64"
        slices = []
        for size in numbers:
            slices.append(Slice(file, start, size, is_base64))
            start += size
        return Frames(slices) if isinstance(sizes, list | tuple) else slices[0]


def open_picture(picture: Any, channel_order: str = "rgb") -> Any:
    """What a picture of a visual dict may be; with blue first, the decoded picture with red first."""
    source = picture.read() if isinstance(picture, Slice) else picture
    if channel_order == "rgb":
        return source
    red, green, blue = open_image(source).split()
    return Image.merge("RGB", (blue, green, red))


def picture_head(picture: Any) -> Any:
    """The same for someone who asks for its size alone."""
    return picture.read_picture_head() if isinstance(picture, Slice) else picture


def open_video(video: Any) -> Any:
    """A video file as a visual dict takes it."""
    return video.read() if isinstance(video, Slice) else video


def is_folder(medium: Any) -> bool:
    """Whether a medium is the path of a folder, whose pictures are views or frames."""
    return isinstance(medium, str) and os.path.isdir(medium)  # False, not OSError, for a path that cannot be


def is_patch_list(value: Any) -> bool:
    """Whether a list names pictures in patch files, which are then the frames of one video."""
    return (
        isinstance(value, Sequence)
        and not isinstance(value, str | bytes)
        and len(value) > 0
        and all(isinstance(item, Mapping) and isinstance(item.get("size"), int) for item in value)
    )


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
