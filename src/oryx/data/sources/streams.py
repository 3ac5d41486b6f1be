"""Rows that come one after the other: data sets too large to keep on the disk."""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from oryx.data.sources.base import Source, digest
from oryx.data.sources.cache import KEPT_FROM, cache_folder
from oryx.data.sources.media import Opener
from oryx.data.sources.settings import SourceSettings
from oryx.errors import ConfigError
from oryx.files import write_whole

CHUNK = 256
"""Rows are read, and shuffled, in chunks of so many; the position before each chunk is noted."""
NEAR = 3
"""Chunks that are kept in memory: packing goes back a little."""


class Stream(Source):
    """Rows that can only be read from front to back, with noted positions to go on from.

    To know how many there are, and the positions, the stream is read once to its end (or its limit). That
    is kept, so later runs begin at once. Row i is the same in every run as long as the data is: name the
    `revision` of a data set on the hub.
    """

    def __init__(self, settings: SourceSettings, stream: Any, name: str, root: Path, identity: Any) -> None:
        super().__init__(settings)
        # As arrow tables, media stay undecoded: they are opened by ourselves, when they are needed.
        self._stream = stream.with_format("arrow")
        self._name = name
        self._identity = identity
        self._opener = Opener(Path(settings.media_root) if settings.media_root is not None else root)
        self._count, self._positions = self._find_positions()
        if not self._count:
            raise ConfigError(f"{name} holds no records.")
        self._forget()

    @property
    def window(self) -> int | None:
        return CHUNK

    def __len__(self) -> int:
        return self._count

    def entry(self, index: int) -> tuple[Any, Opener]:
        return self._chunk(index // CHUNK)[index % CHUNK], self._opener

    def place(self, index: int) -> str:
        return f"{self._name} row {index}"

    def identity(self) -> Any:
        return [self._identity, self._opener.place]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_chunks": None, "_near": OrderedDict()}

    def _forget(self) -> None:
        self._process = os.getpid()
        self._chunks: Iterator[Any] | None = None
        self._next = 0
        self._near: OrderedDict[int, list[Any]] = OrderedDict()

    def _chunk(self, number: int) -> list[Any]:
        if self._process != os.getpid():  # an open reader must not be shared with the process it came from
            self._forget()
        if number in self._near:
            return self._near[number]
        try:
            if self._chunks is None or self._next != number:
                self._stream.load_state_dict(self._positions[number])
                # `iter` and not a plain loop, which would share the rows out to the workers of a DataLoader.
                self._chunks = iter(self._stream.iter(batch_size=CHUNK))
            rows = next(self._chunks, None)
        except Exception as error:  # readers and the network raise all kinds
            self._forget()
            raise ConfigError(f"the stream cannot be read ({reason(error)}).") from None
        self._next = number + 1
        wanted = min(CHUNK, self._count - number * CHUNK)
        if rows is None or len(rows) < wanted:
            raise ConfigError("the stream ends earlier than when it was first read: its data changed.")
        self._near[number] = rows.to_pylist()
        if len(self._near) > NEAR:
            self._near.popitem(last=False)
        return self._near[number]

    def _find_positions(self) -> tuple[int, list[Any]]:
        """How many rows there are, and the positions before all chunks."""
        file = cache_folder() / f"stream-{digest([self._identity, self.settings.limit])}.json"
        try:
            stored = json.loads(file.read_text(encoding="utf-8"))
            return stored["count"], stored["positions"]
        except (OSError, ValueError, KeyError):
            pass  # not looked through yet
        limit = self.settings.limit
        start = self._stream.state_dict()
        positions, count = [start], 0
        try:
            for rows in self._stream.iter(batch_size=CHUNK):
                count += len(rows)
                if limit is not None and count >= limit:
                    count = limit
                    break
                positions.append(self._stream.state_dict())
        except Exception as error:
            raise ConfigError(f"{self._name} cannot be read ({reason(error)}).") from None
        finally:
            self._stream.load_state_dict(start)
        if count >= KEPT_FROM:
            _keep(file, {"count": count, "positions": positions})
        return count, positions


def reason(error: Exception) -> str:
    """The first line of a library's error."""
    return (str(error) or type(error).__name__).strip().splitlines()[0].rstrip(".")


def _keep(file: Path, content: Any) -> None:
    with suppress(OSError):  # it is made again next time
        write_whole(file, json.dumps(content).encode())
