"""Packed copies of a source: published patch files, or `webdataset` shards. Media are kept byte for byte."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from oryx.data.sources.base import Source
from oryx.data.sources.contents import Row, Stored, read_media
from oryx.errors import ConfigError, OryxError
from oryx.files import is_free, staged_folder

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
    if not is_free(destination):
        raise ConfigError(f"{destination} exists already; choose another folder.")
    report = PackReport()
    try:
        with staged_folder(destination) as staging:
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
    except OSError as error:
        raise OryxError(f"{destination} cannot be written ({error.strerror or error}).") from None
    return report


def _pack_one(source: Source, index: int, writer: _Writer, report: PackReport, skip_broken: bool) -> None:
    try:
        record = source.read(index)
        try:
            # All media are read before one is written: a broken record leaves no bytes behind.
            packed = read_media(record)
        except OryxError as error:
            raise type(error)(f"{record.place}: {error}") from None
    except OryxError as error:
        if not skip_broken:
            raise
        report.skipped.append(str(error))
        return
    writer.write(packed)
    report.num_records += 1


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

    def _put(self, medium: Stored | Row) -> dict[str, Any]:
        start = self.file.tell()
        if start >= self.limit:
            self.file.close()
            self.number += 1
            self.file, start = self._open(), 0
        parts = medium if isinstance(medium, Row) else (medium,)
        for part in parts:
            self.file.write(part.data)
            self.report.num_bytes += len(part.data)
        sizes = [len(part.data) for part in parts]
        size = sizes if isinstance(medium, Row) else sizes[0]
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

        def put(medium: Stored | Row) -> Any:
            if isinstance(medium, Row):
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


def _replace(value: Any, put: Callable[[Stored | Row], Any]) -> Any:
    """The entry with the place of each medium in its stead."""
    if isinstance(value, Stored | Row):
        return put(value)
    if isinstance(value, Mapping):
        return {key: _replace(item, put) for key, item in value.items()}
    if isinstance(value, list):
        return [_replace(item, put) for item in value]
    return value
