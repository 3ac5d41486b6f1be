"""Rooms on disk: shards of 100 rooms, each a tar as webdataset reads it, and a table of its rooms.

    OUT/settings.json        what it was made with, and the labels of its furniture
    OUT/CREDITS.md           whose furniture is shown, and under which licence
    OUT/rooms-00012.tar      000001234.json  000001234.0.jpg  000001234.0.ids.png  000001234.0.depth.png ...
    OUT/rooms-00012.jsonl    one line a room: its record, and where in the tar each file's bytes lie

The table lets a reader fetch any view without reading through the tar. A shard appears whole or not at all.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from oryx.errors import ConfigError, MediaError
from oryx.files import staged

SHARD_ROOMS = 100
SETTINGS = "settings.json"
CREDITS = "CREDITS.md"
JPEG_QUALITY = 92
MAKE_COMMAND = "oryx data rooms FOLDER --furniture CATALOGUES"


def shard_name(shard: int) -> str:
    """Name of the shard's files without their ending."""
    return f"rooms-{shard:05d}"


def write_shard(
    folder: Path, shard: int, rooms: Iterator[tuple[dict[str, Any], Sequence[tuple[str, bytes]]]]
) -> None:
    """Writes one shard from (record, files of (name ending, bytes)) a room; the table comes last."""
    name = shard_name(shard)
    tar_path, table_path = folder / f"{name}.tar", folder / f"{name}.jsonl"
    # Left from the inner to the outer: the tar is there before its table.
    with staged(table_path) as staged_table, staged(tar_path) as staged_tar:
        places = []
        with tarfile.open(staged_tar, "w", format=tarfile.USTAR_FORMAT) as tar:
            for record, files in rooms:
                key = f"{record['room']:09d}"
                body = json.dumps(record, separators=(",", ":")).encode()
                where = {}
                for ending, data in [("json", body), *files]:
                    member = tarfile.TarInfo(f"{key}.{ending}")
                    member.size = len(data)
                    start = tar.offset + tarfile.BLOCKSIZE  # one block of header
                    tar.addfile(member, io.BytesIO(data))
                    where[ending] = [start, len(data)]
                places.append((body, where))
        with staged_table.open("wb") as table:
            for body, where in places:
                files_part = json.dumps({"files": where}, separators=(",", ":")).encode()
                table.write(body[:-1] + b"," + files_part[1:] + b"\n")


def missing_shards(folder: Path, num_rooms: int) -> list[int]:
    """Shards that are not there yet."""
    wanted = range(-(-num_rooms // SHARD_ROOMS))
    return [shard for shard in wanted if not (folder / f"{shard_name(shard)}.jsonl").exists()]


def last_room(folder: Path) -> int:
    """The last room that is there, counted from 1, though others before it may be missing; 0 for none."""
    tables = sorted(folder.glob(f"rooms-{'[0-9]' * 5}.jsonl"))
    if not tables:
        return 0
    shard = int(tables[-1].stem.rpartition("-")[2])
    return shard * SHARD_ROOMS + tables[-1].read_bytes().count(b"\n")


def check_same(folder: Path, settings: Mapping[str, Any]) -> None:
    """Compares a store's settings with those that a folder was begun with, if there are any.

    The number of rooms may be another: a room depends on its own index alone.

    Raises:
        ConfigError: they differ, or those of the folder cannot be read.
    """
    path = folder / SETTINGS
    if not path.exists():
        return
    try:
        found = dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"{path} cannot be read ({error}).") from None
    # A setting that is not among those found is younger than the folder.
    shared = (found.keys() & settings.keys()) - {"num_rooms"}
    other = sorted(key for key in shared if found[key] != settings[key])
    if other:
        named = ", ".join(other)
        raise ConfigError(f"{folder} was begun otherwise ({named}); give the same, or a new folder.")


class RoomStore:
    """The rooms of a folder; `store[i]` is the record of the i-th.

    Raises:
        ConfigError: no such folder, or one without rooms.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).expanduser()
        tables = sorted(self.folder.glob("rooms-*.jsonl"))
        if not tables:
            raise ConfigError(f"{folder} holds no rooms; make them with: {MAKE_COMMAND}.")
        try:
            self.settings: dict[str, Any] = json.loads((self.folder / SETTINGS).read_text(encoding="utf-8"))
            self._rooms = [
                (table.stem, json.loads(line))
                for table in tables
                for line in table.read_text(encoding="utf-8").splitlines()
            ]
        except (OSError, ValueError) as error:
            raise ConfigError(f"{folder} holds no readable rooms ({error}).") from None

    @property
    def labels(self) -> list[str]:
        """All labels that its furniture has."""
        return list(self.settings["labels"])

    def __len__(self) -> int:
        return len(self._rooms)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self._rooms[index][1]

    def hash_rooms(self, number: int) -> str:
        """SHA-256 of the first so many records, which hold where and how long each picture is."""
        text = "".join(json.dumps(record) for _, record in self._rooms[:number])
        return hashlib.sha256(text.encode()).hexdigest()

    def view(self, index: int, view: int) -> Image.Image:
        """RGB picture of one view. Raises MediaError if it cannot be read."""
        return self._picture(index, f"{view}.jpg").convert("RGB")

    def ids(self, index: int, view: int) -> np.ndarray:
        """(H, W) uint8 instance ids of one view, 0 for the room itself. Raises MediaError."""
        return np.asarray(self._picture(index, f"{view}.ids.png"))

    def read(self, index: int, ending: str) -> bytes:
        """The bytes of one file of a room, such as "0.jpg". Raises MediaError if they are not there."""
        shard, record = self._rooms[index]
        path = self.folder / f"{shard}.tar"
        if ending not in record["files"]:
            raise MediaError(f"{path}: room {record['room']} was stored without {ending}.")
        try:
            start, size = record["files"][ending]
            with path.open("rb") as file:
                file.seek(start)
                return file.read(size)
        except OSError as error:
            raise MediaError(f"{path} cannot be read ({error.strerror}).") from None

    def _picture(self, index: int, ending: str) -> Image.Image:
        data = self.read(index, ending)
        try:
            picture = Image.open(io.BytesIO(data))
            picture.load()
            return picture
        except (OSError, ValueError) as error:
            shard, record = self._rooms[index]
            raise MediaError(f"{shard}.tar: {ending} of room {record['room']} is broken ({error}).") from None


def view_files(
    views: Sequence[tuple[Image.Image, np.ndarray, np.ndarray | None]],
) -> list[tuple[str, bytes]]:
    """(name ending, bytes) of each view's picture, ids and, where given, depth (16-bit millimetres)."""
    files = []
    for number, (image, ids, depth) in enumerate(views):
        files.append((f"{number}.jpg", _bytes(image, "JPEG", quality=JPEG_QUALITY, subsampling=0)))
        files.append((f"{number}.ids.png", _bytes(Image.fromarray(ids), "PNG", optimize=True)))
        if depth is not None:
            millimetres = np.clip(np.round(depth * 1000), 0, 65535).astype(np.uint16)
            files.append((f"{number}.depth.png", _bytes(Image.fromarray(millimetres), "PNG")))
    return files


def _bytes(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
