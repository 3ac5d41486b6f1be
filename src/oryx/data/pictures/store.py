"""The store: one zip of small named pictures with an index."""

from __future__ import annotations

import functools
import io
import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from oryx.errors import ConfigError

FILE_NAME = "pictures.zip"
INDEX_NAME = "index.json"
SPLITS = ("train", "test", "new_style")
VERSION = 1


@dataclass(frozen=True)
class Picture:
    """One picture of the store."""

    name: str
    """What it shows."""
    style: str
    """The set that it is from."""
    split: str
    """ "train"; "test": held out, in a style trained on; "new_style": in a style never trained on."""
    file: str
    """Its PNG inside the zip."""
    source: str
    """Its name in the package that it is from."""
    licence: str
    ink: tuple[int, int, int]
    """Mean colour of what is not transparent."""


class PictureStore:
    """Read access to a store made by `oryx data pictures`; pictures are decoded when asked for, then kept.

    Safe to pickle and to share out to workers: the file is opened again where it is needed.

    Raises:
        ConfigError: there is no store at the path, or it is not one.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path) / FILE_NAME if Path(path).is_dir() else Path(path)
        try:
            with zipfile.ZipFile(self.path) as archive:
                index = json.loads(archive.read(INDEX_NAME))
            if index["version"] != VERSION:
                raise ValueError(f"version {index['version']}, not {VERSION}")
            self.pictures = tuple(
                Picture(**{**entry, "ink": tuple(entry["ink"])}) for entry in index["pictures"]
            )
            # Styles whose packages were not there when it was made: its split is not that of a whole store.
            self.missing: tuple[str, ...] = tuple(index.get("missing", ()))
        except FileNotFoundError:
            raise ConfigError(
                f"No store of pictures at {path}; `oryx data pictures {path} --from FOLDER` makes one."
            ) from None
        except (OSError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
            raise ConfigError(
                f"{self.path} is no store of pictures ({error}); `oryx data pictures` makes one."
            ) from None

    def select(
        self, split: str, styles: Sequence[str] = (), names: Sequence[str] = ()
    ) -> dict[str, tuple[Picture, ...]]:
        """Name -> its pictures of one split, of some styles and names only where given, in index order."""
        chosen: dict[str, list[Picture]] = {}
        for picture in self.pictures:
            wanted = (not styles or picture.style in styles) and (not names or picture.name in names)
            if picture.split == split and wanted:
                chosen.setdefault(picture.name, []).append(picture)
        return {name: tuple(pictures) for name, pictures in chosen.items()}

    @property
    def styles(self) -> tuple[str, ...]:
        """All styles in it, sorted."""
        return tuple(sorted({picture.style for picture in self.pictures}))

    def image(self, picture: Picture) -> Image.Image:
        """The picture (RGBA), cut to what it shows. Not to be drawn on: it is shared."""
        return _read(str(self.path), picture.file)


def write_store(path: Path, entries: Sequence[tuple[Picture, Image.Image]], about: Mapping[str, Any]) -> None:
    """Writes a store; the same entries give the same bytes. `about` is kept in the index as it is."""
    index = {"version": VERSION, **about, "pictures": [asdict(picture) for picture, _ in entries]}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        _add(archive, INDEX_NAME, json.dumps(index, indent=1).encode(), zipfile.ZIP_DEFLATED)
        for picture, image in entries:
            buffer = io.BytesIO()
            image.save(buffer, "PNG", optimize=True)
            _add(archive, picture.file, buffer.getvalue(), zipfile.ZIP_STORED)


def mean_ink(image: Image.Image) -> tuple[int, int, int]:
    """Mean colour of an RGBA picture, each pixel counting by its opacity; black if nothing is to be seen."""
    values = np.asarray(image, dtype=np.float64)
    weights = values[..., 3:]
    total = weights.sum()
    red, green, blue = (values[..., :3] * weights).sum(axis=(0, 1)) / total if total else (0, 0, 0)
    return round(red), round(green), round(blue)


def _add(archive: zipfile.ZipFile, name: str, data: bytes, compression: int) -> None:
    entry = zipfile.ZipInfo(name)  # its date is 1980, whatever the clock says
    entry.compress_type = compression
    archive.writestr(entry, data)


@functools.lru_cache(maxsize=8)
def _archive(path: str, process: int) -> zipfile.ZipFile:
    """An open store: one for each process, since processes that share a file share where it is read."""
    return zipfile.ZipFile(path)


@functools.lru_cache(maxsize=8192)
def _read(path: str, file: str) -> Image.Image:
    data = _archive(path, os.getpid()).read(file)
    with Image.open(io.BytesIO(data)) as image:
        return image.convert("RGBA")
