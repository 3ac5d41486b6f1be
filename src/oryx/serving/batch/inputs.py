"""The rows of a batch: JSONL or parquet, read twice and never held whole.

The first reading takes the ids and a hash of the file; the second gives the rows that are not answered yet.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from array import array
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np

from oryx.errors import ConfigError
from oryx.serving.batch.formats import format_of, parquet

RowId = str | int
_LISTED = 10
"""Wrong ids that a message names."""
_PARQUET_ROWS = 256
"""Rows of a parquet file that are read at a time."""
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Row:
    """One row of the input."""

    index: int
    """From 0, lines that are blank not counted."""
    line: int
    """From 1; in a parquet file, the row's number."""
    id: RowId | None
    """None only where the line is no JSON object."""
    content: Mapping[str, Any] | None
    """Its keys, without those that are null; None where the line is no JSON object."""
    problem: str | None = None
    """Why there is no content, in a sentence."""


@dataclass(frozen=True)
class Scan:
    """What the first reading found."""

    sha256: str
    """Of the whole file, in hexadecimal."""
    num_rows: int
    has_number_ids: bool
    """Whether every id is a whole number."""


class Input:
    """A file of rows.

    Args:
        path: ends with .jsonl or .parquet.

    Raises:
        ConfigError: another ending, or no such file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.format = format_of(path, "the input")
        if not path.is_file():
            raise ConfigError(f"the input {path} {'is a folder' if path.is_dir() else 'does not exist'}.")
        self._unit = "line" if self.format == "jsonl" else "row"
        self._stamp: tuple[int, int, int] | None = None

    def scan(self) -> Scan:
        """Read the file once, for its hash and its ids.

        Raises:
            ConfigError: no rows, rows without an id, or ids that stand more than once, each with its line.
        """
        digest = hashlib.sha256()
        ids, lines, unnamed = bytearray(), array("Q"), array("Q")
        num_rows, are_numbers = 0, True
        with self._opened() as file:
            self._stamp = _stamp(file)
            for row in self._rows(file, lambda _: True, digest.update, only_ids=True):
                num_rows += 1
                if row.id is not None:
                    are_numbers &= isinstance(row.id, int)
                    ids += hashlib.blake2b(str(row.id).encode(), digest_size=16).digest()
                    lines.append(row.line)
                elif row.content is not None:
                    unnamed.append(row.line)
        if not num_rows:
            raise ConfigError(f"the input {self.path} holds no rows.")
        self._check_ids(unnamed, _repeated(ids, lines))
        return Scan(digest.hexdigest(), num_rows, are_numbers)

    def rows(self, is_wanted: Callable[[int], bool]) -> Iterator[Row]:
        """The rows whose index is wanted, in order.

        Raises:
            ConfigError: the file is another than it was for `scan`.
        """
        with self._opened() as file:
            self._check_stamp(file)
            for row in self._rows(file, is_wanted):
                self._check_stamp(file)
                yield row

    @contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        try:
            with self.path.open("rb") as file:
                yield file
        except OSError as error:
            raise ConfigError(f"the input {self.path} cannot be read ({error.strerror or error}).") from None

    def _check_stamp(self, file: BinaryIO) -> None:
        if self._stamp is not None and _stamp(file) != self._stamp:
            raise ConfigError(
                f"the input {self.path} was changed while it was read; what is answered is kept, and the "
                "same command goes on once the file is as it was."
            )

    def _rows(
        self,
        file: BinaryIO,
        is_wanted: Callable[[int], bool],
        see: Callable[[bytes], object] = lambda _: None,
        only_ids: bool = False,
    ) -> Iterator[Row]:
        """Args: see: is given all bytes of the file. only_ids: other columns may be left out."""
        if self.format == "jsonl":
            return _json_rows(file, is_wanted, see)
        return self._parquet_rows(file, is_wanted, see, only_ids)

    def _parquet_rows(
        self,
        file: BinaryIO,
        is_wanted: Callable[[int], bool],
        see: Callable[[bytes], object],
        only_ids: bool,
    ) -> Iterator[Row]:
        module, error_type = parquet()
        try:
            columns = None
            if only_ids:
                while chunk := file.read(2**20):
                    see(chunk)
                file.seek(0)
            table = module.ParquetFile(file)
            if only_ids:
                columns = [name for name in ("id", "custom_id") if name in table.schema_arrow.names]
            index = 0
            # Without columns a batch has no rows, and yet every row lacks its id.
            if columns == []:
                for index in range(table.metadata.num_rows):
                    yield Row(index, index + 1, None, {})
                return
            for batch in table.iter_batches(_PARQUET_ROWS, columns=columns):
                wanted = [place for place in range(batch.num_rows) if is_wanted(index + place)]
                for place, content in zip(wanted, batch.take(wanted).to_pylist() if wanted else []):
                    content = without_nulls(_of_table(content))
                    number = index + place
                    yield Row(number, number + 1, id_of(content), content)
                index += batch.num_rows
        except error_type as error:
            reason = " ".join(str(error).split())
            raise ConfigError(f"the input {self.path} cannot be read as parquet ({reason}).") from None

    def _check_ids(self, unnamed: array[int], repeated: list[list[int]]) -> None:
        """Raises ConfigError if there is anything in either list of lines."""
        problems = []
        if unnamed:
            lines = _listed([str(line) for line in unnamed])
            problems.append(f"{self._unit}s without an id (a text or a whole number): {lines}")
        if repeated:
            names = self._ids_of({lines[0] for lines in repeated[:_LISTED]})
            texts = [
                f"{names[lines[0]]!r} on {self._unit}s {_listed([str(line) for line in lines])}"
                for lines in repeated[:_LISTED]
            ]
            more = f" and {len(repeated) - _LISTED:,} more" if len(repeated) > _LISTED else ""
            problems.append(f"ids that stand more than once: {'; '.join(texts)}{more}")
        if problems:
            raise ConfigError(f"the input {self.path} has {', and '.join(problems)}.")

    def _ids_of(self, lines: set[int]) -> dict[int, RowId | None]:
        with self._opened() as file:
            rows = self._rows(file, lambda _: True, only_ids=True)
            return {row.line: row.id for row in rows if row.line in lines}


def id_of(content: Mapping[str, Any]) -> RowId | None:
    """A row's id, which OpenAI's batches call `custom_id`; None where there is none that can be used."""
    value = content.get("custom_id", content.get("id"))
    is_number = isinstance(value, int) and not isinstance(value, bool)
    if isinstance(value, str) and value:
        return value if _is_text(value) else None
    # Larger ones are no numbers to those who read the output.
    return value if is_number and abs(value) < 2**63 else None


def without_nulls(value: Any) -> Any:
    """The value without keys that are null: a table has every key in every row."""
    if isinstance(value, Mapping):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def _of_table(value: Any) -> Any:
    """The value as it was meant: a column of whole numbers with holes is one of floats to pandas."""
    if isinstance(value, Mapping):
        return {key: _of_table(item) for key, item in value.items()}
    if isinstance(value, float):
        return None if math.isnan(value) else int(value) if value.is_integer() else value
    return [_of_table(item) for item in value] if isinstance(value, list) else value


def _json_rows(
    file: BinaryIO, is_wanted: Callable[[int], bool], see: Callable[[bytes], object]
) -> Iterator[Row]:
    index = 0
    for number, line in enumerate(file, start=1):
        see(line)
        line = (line.removeprefix(_BOM) if number == 1 else line).strip()
        if line:
            if is_wanted(index):
                yield _json_row(index, number, line)
            index += 1


def _json_row(index: int, number: int, line: bytes) -> Row:
    try:
        content = json.loads(line.decode(), parse_constant=_refuse)
        json.dumps(content, ensure_ascii=False).encode()  # half of a character is no text
    except json.JSONDecodeError as error:
        problem = f"{error.msg} at character {error.pos + 1}"
    except UnicodeError:
        problem = "no UTF-8 text"
    except RecursionError:
        problem = "nested too deeply"
    except ValueError:
        problem = "a number of it is none"
    else:
        if isinstance(content, dict):
            content = without_nulls(content)
            return Row(index, number, id_of(content), content)
        problem = "no object"
    return Row(index, number, None, None, f"line {number} is no JSON object ({problem}).")


def _refuse(name: str) -> NoReturn:
    raise ValueError(name)


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeError:
        return False
    return True


def _repeated(ids: bytearray, lines: array[int]) -> list[list[int]]:
    """Groups of lines with the same id, in their order. `ids` has 16 bytes for each line."""
    halves = np.frombuffer(ids, dtype=np.uint64).reshape(-1, 2)
    order = np.lexsort((halves[:, 1], halves[:, 0]))  # stable: lines of a group stay in order
    is_same = (halves[order[1:]] == halves[order[:-1]]).all(axis=1)
    groups: list[list[int]] = []
    for place in np.flatnonzero(is_same).tolist():
        before, after = lines[int(order[place])], lines[int(order[place + 1])]
        if groups and groups[-1][-1] == before:
            groups[-1].append(after)
        else:
            groups.append([before, after])
    return sorted(groups)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _LISTED:,} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def _stamp(file: BinaryIO) -> tuple[int, int, int]:
    status = os.fstat(file.fileno())
    return status.st_ino, status.st_size, status.st_mtime_ns
