"""Views of one scene, or frames of one clip: a folder or a list of pictures, in natural order."""

import re
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from oryx.errors import MediaError
from oryx.media.image import ImageSource

# Formats that people keep views in: in a folder, the ending must tell a picture from the rest.
IMAGE_SUFFIXES = (
    *(".apng", ".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpeg", ".jpg"),
    *(".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp"),
)


def list_views(source: str | Path | Sequence[ImageSource]) -> list[ImageSource]:
    """The pictures of a folder in natural order (`view2.png` before `view10.png`), or a list as it is.

    Other files of the folder, hidden files and inner folders are left out.

    Raises:
        MediaError: the folder is missing or has no picture, or the list is empty or holds something else.
    """
    if isinstance(source, str | Path):
        return list(_list_folder(Path(source)))
    if not isinstance(source, Sequence) or isinstance(source, bytes):
        raise MediaError(
            f"views must be a folder, or a list of paths or Pillow images, not {type(source).__name__}"
        )
    if not source:
        raise MediaError("the list of views is empty; at least 1 picture is needed")
    for index, view in enumerate(source):
        if not isinstance(view, Image.Image | str | Path | bytes):
            kind = type(view).__name__
            raise MediaError(f"view {index} is of type {kind}; a path, bytes or a Pillow image is needed")
    return list(source)


def natural_key(path: Path) -> list[tuple[int, int, str]]:
    """Sort key of a file name: its numbers by value, its letters without case."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]


def _list_folder(folder: Path) -> list[Path]:
    try:
        if not folder.is_dir():
            problem = "is not a folder" if folder.exists() else "does not exist"
            raise MediaError(f"'{folder}' {problem}; a folder of pictures is needed there")
        files = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    except (OSError, ValueError) as error:
        raise MediaError(f"'{folder}' cannot be listed ({error})") from error
    views = [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES]
    if not views:
        endings = ", ".join(sorted(IMAGE_SUFFIXES))
        raise MediaError(
            f"the folder '{folder}' has no picture; at least 1 file is needed that ends in {endings}"
        )
    return sorted(views, key=natural_key)
