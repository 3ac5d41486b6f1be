"""LLaVA's layout: a JSON list of records, or JSONL with one record a line; also with media in patch files."""

from __future__ import annotations

import json
from array import array
from pathlib import Path
from typing import Any

import numpy as np

from oryx.data.sources.base import Source, file_identity
from oryx.data.sources.media import Opener
from oryx.data.sources.settings import SourceSettings
from oryx.errors import ConfigError


class LlavaFile(Source):
    """Records of one file. A JSON list is kept in memory; of JSONL only where each line begins."""

    def __init__(self, settings: SourceSettings, path: Path) -> None:
        super().__init__(settings)
        self.path = path
        self.opener = Opener(Path(settings.media_root) if settings.media_root is not None else path.parent)
        self._identity = file_identity(path)
        self._entries: list[Any] | None = None
        self._lines = np.empty((0, 3), dtype=np.int64)
        try:
            with path.open("rb") as file:
                if file.read(1024).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"["):
                    self._entries = _read_list(path)
                else:
                    self._lines = find_lines(path)
        except OSError as error:
            raise ConfigError(f"{path} cannot be read ({error}).") from None
        if not len(self):
            raise ConfigError(f"{path} holds no records.")

    def __len__(self) -> int:
        return len(self._lines) if self._entries is None else len(self._entries)

    def entry(self, index: int) -> tuple[Any, Opener]:
        if self._entries is not None:
            return self._entries[index], self.opener
        return read_line(self.path, self._lines[index]), self.opener

    def place(self, index: int) -> str:
        if self._entries is not None:
            return f"{self.path} record {index}"
        return f"{self.path} line {self._lines[index, 2]}"

    def identity(self) -> Any:
        return [self._identity, self.opener.place]


def find_lines(path: Path) -> np.ndarray:
    """(N, 3) int64: first byte, size and number (from 1) of each line that is not blank."""
    rows = array("q")
    with path.open("rb") as file:
        start = 0
        for number, line in enumerate(file, start=1):
            if not line.isspace():
                rows.extend((start, len(line), number))
            start += len(line)
    return np.array(rows, dtype=np.int64).reshape(-1, 3)


def read_line(path: Path, line: np.ndarray) -> Any:
    """The JSON value of a line that `find_lines` found.

    Raises:
        ConfigError: it is no JSON.
    """
    start, size, _ = map(int, line)
    try:
        with path.open("rb") as file:
            file.seek(start)
            return json.loads(file.read(size).decode("utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"the file cannot be read any more ({error}).") from None
    except (ValueError, RecursionError):
        raise ConfigError("the line is not valid JSON.") from None


def _read_list(path: Path) -> list[Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid JSON ({error}).") from None
