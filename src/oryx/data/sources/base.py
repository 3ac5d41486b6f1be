"""What every source is: a sequence of records that any process reads at any place."""

from __future__ import annotations

import bisect
import hashlib
import itertools
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from oryx.data.sources.entries import as_record
from oryx.data.sources.media import Opener
from oryx.data.sources.record import Record
from oryx.data.sources.settings import SourceSettings
from oryx.errors import ConfigError, OryxError


class Source(ABC):
    """Records by number. It is small to pickle, and record i is the same in every process and run."""

    def __init__(self, settings: SourceSettings) -> None:
        self.settings = settings

    @property
    def window(self) -> int | None:
        """Records that are cheap to read together; None where any order is."""
        return None

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def entry(self, index: int) -> tuple[Any, Opener]:
        """The record as it stands in the file, and what opens its media.

        Raises:
            ConfigError, MediaError: it cannot be read; without its place.
        """

    @abstractmethod
    def place(self, index: int) -> str:
        """File and number of a record, for people."""

    @abstractmethod
    def identity(self) -> Any:
        """Plain values that change when the files do."""

    def read(self, index: int) -> Record:
        """Record `index`.

        Raises:
            ConfigError, MediaError: it has another form; the sentence begins with its place.
        """
        place = self.place(index)
        try:
            entry, opener = self.entry(index)
            return as_record(entry, place, opener, self.settings)
        except OryxError as error:
            raise type(error)(f"{place}: {error}") from None
        except (TypeError, ValueError, AttributeError, RecursionError) as error:
            # A file may hold anything anywhere, and no list of checks is complete.
            raise ConfigError(f"{place}: it has another form ({error}).") from None

    def fingerprint(self) -> str:
        """A text that changes when its records may have."""
        told = asdict(self.settings)
        for name in ("name", "weight", "licence"):
            del told[name]
        return digest([told, self.identity()])


class Joined(Source):
    """Several files of one source, one after the other, up to its limit."""

    def __init__(self, settings: SourceSettings, parts: Sequence[Source]) -> None:
        super().__init__(settings)
        self.parts = list(parts)
        self._ends = list(itertools.accumulate(map(len, self.parts)))

    @property
    def window(self) -> int | None:
        return min((part.window for part in self.parts if part.window is not None), default=None)

    def __len__(self) -> int:
        total = self._ends[-1]
        return total if self.settings.limit is None else min(total, self.settings.limit)

    def entry(self, index: int) -> tuple[Any, Opener]:
        part, inner = self._find(index)
        return part.entry(inner)

    def place(self, index: int) -> str:
        part, inner = self._find(index)
        return part.place(inner)

    def identity(self) -> Any:
        return [part.identity() for part in self.parts]

    def _find(self, index: int) -> tuple[Source, int]:
        if not 0 <= index < len(self):
            raise IndexError(f"record {index} of {len(self)}")
        number = bisect.bisect_right(self._ends, index)
        return self.parts[number], index - (self._ends[number - 1] if number else 0)


def digest(values: Any) -> str:
    """A short text for plain values, equal for equal ones."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:24]


def file_identity(path: Path) -> list[Any]:
    """Changes when a file does."""
    state = path.stat()
    return [str(path.resolve()), state.st_size, state.st_mtime_ns]


def folder_identity(folder: Path, files: Iterable[Path]) -> list[Any]:
    """Changes when one of a folder's files does, or comes, or goes; short, however many they are."""

    def state(file: Path) -> list[Any]:
        try:
            found = file.stat()
        except OSError:  # not there
            return [str(file)]
        return [str(file), found.st_size, found.st_mtime_ns]

    return [str(folder.resolve()), digest([state(file) for file in files])]
