"""Packed copies of a source: published patch files, or `webdataset` shards. Media are kept byte for byte."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from oryx.data.sources.base import Source
from oryx.data.sources.media import Frames, Slice
from oryx.data.sources.record import Record
from oryx.errors import ConfigError, MediaError, OryxError
from oryx.media.image import open_file
from oryx.media.subtitles import find_subtitles, read_subtitles
from oryx.media.views import list_views
from oryx.processing.visuals import visual_dials, visual_source, visual_type

RECORDS = "records.jsonl"
PACK_FORMATS = ("patches", "webdataset")


@dataclass
class PackReport:
    """What was written."""

    num_records: int = 0
    num_bytes: int = 0
    """Of media."""
    files: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    """Broken records that were left out, each beginning with its place."""


def pack_source(
    source: Source,
    destination: Path,
    format_: str,
    shard_bytes: int = 10**9,
    skip_broken: bool = False,
    advance: Callable[[], None] = lambda: None,
) -> PackReport:
    """Write all records of a source, with their media, into a new folder, which is there when all is written.

    Args:
        format_: "patches" (`records.jsonl` beside `patch_00000`, ...) or "webdataset" (`000000.tar`, ...).
        shard_bytes: a file that has grown so large is followed by another.
        skip_broken: leave out records that cannot be read, instead of stopping at the first.

    Raises:
        ConfigError: an unknown format, or a destination that holds something.
        OryxError: a broken record, or a disk that is full. Nothing is left behind.
    """
    if format_ not in PACK_FORMATS:
        raise ConfigError(f"the format {format_!r} is not written; allowed: {', '.join(PACK_FORMATS)}.")
    if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        raise ConfigError(f"{destination} exists already; choose another folder.")
    staging = destination.with_name(f".{destination.name}.part")
    shutil.rmtree(staging, ignore_errors=True)
    report = PackReport()
    try:
        staging.mkdir(parents=True)
        writer: _Writer = (_Patches if format_ == "patches" else _Shards)(staging, shard_bytes, report)
        try:
            for index in range(len(source)):
                _pack_one(source, index, writer, report, skip_broken)
                advance()
        finally:
            writer.close()
        if not report.num_records:
            raise ConfigError(f"{source.settings.title} has no record that can be packed.")
        report.files = sorted(file.name for file in staging.iterdir())
        if destination.exists():
            destination.rmdir()
        os.replace(staging, destination)
    except OSError as error:
        raise OryxError(f"{destination} cannot be written ({error.strerror or error}).") from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return report


def _pack_one(source: Source, index: int, writer: _Writer, report: PackReport, skip_broken: bool) -> None:
    try:
        record = source.read(index)
        try:
            # All media are read before one is written: a broken record leaves no bytes behind.
            packed = _read_record(record)
        except OryxError as error:
            raise type(error)(f"{record.place}: {error}") from None
    except OryxError as error:
        if not skip_broken:
            raise
        report.skipped.append(str(error))
        return
    writer.write(packed)
    report.num_records += 1


@dataclass(frozen=True)
class _Stored:
    """A medium that was read, with the ending of its name."""

    data: bytes
    suffix: str


class _Row(tuple[_Stored, ...]):
    """Frames of one video, to be kept as one place."""


class _Writer(Protocol):
    def write(self, entry: dict[str, Any]) -> None: ...

    def close(self) -> None: ...


class _Patches:
    """Media one after the other in large files; records say where."""

    def __init__(self, folder: Path, limit: int, report: PackReport) -> None:
        self.folder, self.limit, self.report = folder, limit, report
        self.number = 0
        self.file = self._open()
        self.records = (folder / RECORDS).open("w", encoding="utf-8")

    def write(self, entry: dict[str, Any]) -> None:
        self.records.write(json.dumps(_replace(entry, self._put), ensure_ascii=False) + "\n")

    def close(self) -> None:
        self.file.close()
        self.records.close()

    def _put(self, medium: _Stored | _Row) -> dict[str, Any]:
        start = self.file.tell()
        if start >= self.limit:
            self.file.close()
            self.number += 1
            self.file, start = self._open(), 0
        parts = medium if isinstance(medium, _Row) else (medium,)
        for part in parts:
            self.file.write(part.data)
            self.report.num_bytes += len(part.data)
        sizes = [len(part.data) for part in parts]
        size = sizes if isinstance(medium, _Row) else sizes[0]
        return {"patch": self._name(), "start_num": start, "size": size}

    def _name(self) -> str:
        return f"patch_{self.number:05d}"

    def _open(self) -> io.BufferedWriter:
        return (self.folder / self._name()).open("wb")


class _Shards:
    """Tar files; the members of a record have one key."""

    def __init__(self, folder: Path, limit: int, report: PackReport) -> None:
        self.folder, self.limit, self.report = folder, limit, report
        self.number = self.count = 0
        self.archive = self._open()

    def write(self, entry: dict[str, Any]) -> None:
        if self.archive.offset >= self.limit:
            self.archive.close()
            self.number += 1
            self.archive = self._open()
        members: list[tuple[str, bytes]] = []

        def put(medium: _Stored | _Row) -> Any:
            if isinstance(medium, _Row):
                return {"frames": [put(part) for part in medium]}
            name = f"{len(members)}{medium.suffix}"
            members.append((name, medium.data))
            self.report.num_bytes += len(medium.data)
            return name

        text = json.dumps(_replace(entry, put), ensure_ascii=False).encode()
        for name, data in (("json", text), *members):
            info = tarfile.TarInfo(f"{self.count:08d}.{name}")
            info.size = len(data)
            self.archive.addfile(info, io.BytesIO(data))
        self.count += 1

    def close(self) -> None:
        self.archive.close()

    def _open(self) -> tarfile.TarFile:
        return tarfile.open(self.folder / f"{self.number:06d}.tar", "w")


def _replace(value: Any, put: Callable[[_Stored | _Row], Any]) -> Any:
    """The entry with the place of each medium in its stead."""
    if isinstance(value, _Stored | _Row):
        return put(value)
    if isinstance(value, Mapping):
        return {key: _replace(item, put) for key, item in value.items()}
    if isinstance(value, list):
        return [_replace(item, put) for item in value]
    return value


def _read_record(record: Record) -> dict[str, Any]:
    """The record as an entry of LLaVA's layout, its media read."""
    entry: dict[str, Any] = {} if record.id is None else {"id": record.id}
    needle = record.needle
    if needle is not None:
        return {
            **entry,
            "video_long": _read_video(needle.video),
            "idx": list(needle.targets),
            "type": needle.task,
            "question": needle.question,
            "answer": needle.answer,
        }
    visuals = [_read_visual(visual) for visual in record.visuals]
    plain = [visual for visual in visuals if set(visual) == {"type", visual["type"]}]
    kinds = {visual["type"] for visual in visuals}
    # The published keys where they say all there is.
    if len(plain) == len(visuals) and kinds == {"image"}:
        pictures = [visual["image"] for visual in visuals]
        entry["image"] = pictures[0] if len(pictures) == 1 else pictures
    elif len(plain) == len(visuals) == 1 and kinds == {"video"} and isinstance(visuals[0]["video"], _Row):
        entry["video"] = visuals[0]["video"]
    elif visuals:
        entry["visuals"] = visuals
    return {**entry, "conversations": record.conversations}


def _read_visual(visual: Mapping[str, Any]) -> dict[str, Any]:
    kind = visual_type(visual)
    source = visual_source(visual, kind)
    dials = visual_dials(visual)
    if dials.get("marks"):
        dials["marks"] = [asdict(mark) for mark in dials["marks"]]
    if dials.get("subtitles"):
        dials["subtitles"] = _read_subtitles(dials["subtitles"], source)
    media: Any
    if kind == "image":
        media = _read(source)
    elif kind == "video":
        media = _read_video(source)
    else:
        media = [_read(view) for view in (list_views(source) if isinstance(source, str) else source)]
    return {"type": kind, kind: media, **dials}


def _read_video(source: Any) -> Any:
    """A file, a row of frames of which some are chosen, or a list of frames that is used as it is."""
    if isinstance(source, str) and Path(source).is_dir():
        return _Row(_read(frame) for frame in list_views(source))
    if isinstance(source, Frames):
        return _Row(_read(frame) for frame in source)
    if isinstance(source, list):
        return [_read(frame) for frame in source]
    return _read(source, ".mp4")


def _read(medium: Any, otherwise: str = ".png") -> _Stored:
    if isinstance(medium, Slice):
        return _Stored(medium.read(), _suffix(medium.name, otherwise))
    if isinstance(medium, bytes):
        return _Stored(medium, otherwise)
    if isinstance(medium, Image.Image):
        buffer = io.BytesIO()
        medium.save(buffer, "PNG")
        return _Stored(buffer.getvalue(), ".png")
    with open_file(medium, "a medium") as file:
        return _Stored(file.read(), _suffix(str(medium), otherwise))


def _suffix(name: str, otherwise: str) -> str:
    return Path(name).suffix.lower() or otherwise


def _read_subtitles(subtitles: Any, source: Any) -> Sequence[Any]:
    if subtitles is True:
        subtitles = find_subtitles(source) if isinstance(source, str) else None
        if subtitles is None:
            raise MediaError(f"there is no .srt or .vtt file beside {source}")
    entries = read_subtitles(subtitles) if isinstance(subtitles, str | Path) else subtitles
    return [entry if isinstance(entry, str) else asdict(entry) for entry in entries]
