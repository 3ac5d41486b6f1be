"""`webdataset` shards: tar files whose members of one key are one record (`7.json`, `7.0.jpg`, ...)."""

from __future__ import annotations

import json
import tarfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from oryx.data.sources.base import Source, digest, file_identity
from oryx.data.sources.cache import KEPT_FROM, read_arrays, write_arrays
from oryx.data.sources.folder import CAPTION_SUFFIX, media_kind
from oryx.data.sources.media import Opener, Slice
from oryx.data.sources.messages import names_media
from oryx.data.sources.settings import SourceSettings
from oryx.errors import ConfigError
from oryx.media.views import natural_key

_RECORD_SUFFIX = ".json"
_MEDIA_COLUMNS = ("image", "images", "video", "videos", "visuals", "video_long")


class Shard(Source):
    """Records of one shard, read at any place: where each member lies is looked up once, from the headers."""

    def __init__(self, settings: SourceSettings, path: Path) -> None:
        super().__init__(settings)
        self.path = path
        self._identity = file_identity(path)
        self._index = _find_members(path, self._identity)
        if not len(self):
            raise ConfigError(f"{path} holds no files.")
        self._root = Path(settings.media_root) if settings.media_root is not None else path.parent

    def __len__(self) -> int:
        return len(self._index.keys) + bool(self._index.problem)

    def entry(self, index: int) -> tuple[Any, Opener]:
        if index == len(self._index.keys):
            raise ConfigError(self._index.problem)
        members = self._members(index)
        entry = self._read_entry(members)
        if not any(entry.get(key) for key in _MEDIA_COLUMNS) and not names_media(entry.get("messages")):
            names = sorted((name for name in members if media_kind(f"x{name}")), key=_order)
            entry = {**entry, "visuals": [_visual(name) for name in names]}
        return entry, Opener(self._root, _by_names(members))

    def place(self, index: int) -> str:
        if index == len(self._index.keys):
            return str(self.path)
        return f"{self.path} key {self._key(index)}"

    def identity(self) -> Any:
        return [self._identity, Opener(self._root).place]

    def _key(self, index: int) -> str:
        return bytes(self._index.keys[index]).decode()

    def _members(self, index: int) -> dict[str, Slice]:
        """Suffix, such as `.0.jpg` -> its bytes."""
        found = self._index
        start, stop = found.starts[index], found.starts[index + 1]
        return {
            str(found.suffixes[found.kinds[place]]): Slice(
                str(self.path),
                int(found.offsets[place]),
                int(found.sizes[place]),
                name=f"{self._key(index)}{found.suffixes[found.kinds[place]]}",
            )
            for place in range(start, stop)
        }

    def _read_entry(self, members: dict[str, Slice]) -> dict[str, Any]:
        texts = {suffix.lower(): member for suffix, member in members.items()}
        if _RECORD_SUFFIX in texts:
            try:
                entry = json.loads(texts[_RECORD_SUFFIX].read())
            except (ValueError, RecursionError):
                raise ConfigError("its .json is not valid JSON.") from None
            if not isinstance(entry, dict):
                raise ConfigError("its .json must hold an object.")
            return entry
        if CAPTION_SUFFIX in texts:
            try:
                return {"caption": texts[CAPTION_SUFFIX].read().decode("utf-8-sig")}
            except UnicodeDecodeError:
                raise ConfigError("its .txt is not UTF-8 text.") from None
        raise ConfigError("it has no .json with a conversation, and no .txt with a caption.")


@dataclass(frozen=True)
class _Members:
    """Where the members of a shard lie: of record i, members `starts[i]` to `starts[i + 1]`."""

    keys: np.ndarray
    """(N,) as bytes, a quarter of what texts take."""
    starts: np.ndarray
    offsets: np.ndarray
    sizes: np.ndarray
    kinds: np.ndarray
    """(M,) numbers of `suffixes`."""
    suffixes: np.ndarray
    problem: str = ""
    """Why the shard ends early, if it does."""


@lru_cache(maxsize=4096)
def _cached_members(path: str, identity: tuple[Any, ...]) -> _Members:
    name = f"shard-{digest(identity)}"
    stored = read_arrays(name)
    if stored is not None:
        return _Members(**{**stored, "problem": str(stored["problem"])})  # type: ignore[arg-type]
    found = _scan(Path(path))
    if len(found.keys) >= KEPT_FROM:
        write_arrays(name, **vars(found))
    return found


def _find_members(path: Path, identity: list[Any]) -> _Members:
    return _cached_members(str(path), tuple(identity))


def _scan(path: Path) -> _Members:
    """Read all headers. Members of one key follow each other, as `webdataset` wants it."""
    keys: list[str] = []
    starts: list[int] = []
    rows: list[tuple[int, int, int]] = []
    suffixes: dict[str, int] = {}
    problem = ""
    try:
        # Names are UTF-8 in any locale; bytes that are none become "\xe9", which can be stored and shown.
        with tarfile.open(path, "r:", encoding="utf-8", errors="backslashreplace") as archive:
            for member in archive:
                folder, slash, file = member.name.rpartition("/")
                if not member.isfile() or file.startswith("."):
                    continue
                stem, dot, suffix = file.partition(".")
                if (key := f"{folder}{slash}{stem}") != (keys[-1] if keys else None):
                    keys.append(key)
                    starts.append(len(rows))
                kind = suffixes.setdefault(f"{dot}{suffix}", len(suffixes))
                rows.append((member.offset_data, member.size, kind))
            problem = _why_it_ends(archive)
    except tarfile.TarError as error:
        if not rows:
            raise ConfigError(
                f"{path} is not a tar file that can be read at any place ({error}); compressed ones must be "
                "unpacked."
            ) from None
        problem = f"the shard is cut off ({error}); records are missing."
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error}).") from None
    table = np.array(rows, dtype=np.int64).reshape(-1, 3)
    return _Members(
        np.array([key.encode() for key in keys], dtype=np.bytes_),
        np.array([*starts, len(rows)], dtype=np.int64),
        table[:, 0],
        table[:, 1],
        table[:, 2].astype(np.int32),
        np.array(list(suffixes), dtype=np.str_),
        problem,
    )


def _why_it_ends(archive: tarfile.TarFile) -> str:
    """What is wrong where no header was found any more: `tarfile` takes any other block for the end."""
    assert archive.fileobj is not None
    archive.fileobj.seek(archive.offset)
    block = archive.fileobj.read(tarfile.BLOCKSIZE)
    if len(block) < tarfile.BLOCKSIZE:
        return f"the shard is cut off at byte {archive.offset + len(block)}; records are missing."
    if block.strip(b"\0"):
        return f"the shard is damaged at byte {archive.offset}; records are missing."
    return ""


def _visual(name: str) -> dict[str, Any]:
    kind = media_kind(f"x{name}") or "image"
    return {"type": kind, kind: name}


def _by_names(members: dict[str, Slice]) -> dict[str, Slice]:
    """A record may name its members with or without the first point, or by their whole name.

    It may also write the ending in small letters, as `webdataset` does; a member so named goes first.
    """
    exact = {
        name: member
        for suffix, member in members.items()
        for name in (suffix.removeprefix("."), member.name, member.name.rpartition("/")[2], suffix)
    }
    small = {
        name: member
        for suffix, member in members.items()
        for name in (suffix.lower().removeprefix("."), suffix.lower())
    }
    return {**small, **exact}


def _order(suffix: str) -> Any:
    return natural_key(Path(suffix))
