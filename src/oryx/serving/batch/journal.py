"""What has been answered so far: a file beside the output to which every row is appended as it is done.

OUT.parts/head.json      what the run was begun with: the input's hash, the model, every setting that answers
                         depend on
OUT.parts/answers.jsonl  {"row": index, "output": {...}}, in the order in which rows were done; of two for one
                         row the later counts
OUT.parts/.lock          held while a run writes here

A line is written at once and whole, so that a killed process loses no line. It is on the disk a second later
at most (`sync`): a machine that loses power loses the last second's rows, which are answered again. Lines
that a full disk or a loss of power has torn are dropped when the journal is opened.
"""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock

from oryx.errors import ConfigError, OryxError
from oryx.files import write_whole
from oryx.locks import PATIENCE_S, take_lock

HEAD, ANSWERS, LOCK = "head.json", "answers.jsonl", ".lock"


class Journal:
    """The journal of one output.

    Args:
        out: the output, which need not be there.
        num_rows: of the input.
        patience: seconds to wait for another process that writes it.
    """

    def __init__(self, out: Path, num_rows: int, patience: float = PATIENCE_S) -> None:
        self.out = out
        self.folder = out.with_name(out.name + ".parts")
        self.num_dropped = 0
        """Torn lines that were found."""
        self._patience = patience
        # Where each row's last line begins, and whether it holds an error: 9 bytes a row.
        self._places = array("q", [-1]) * num_rows
        self._has_error = bytearray(num_rows)
        self._lock: FileLock | None = None
        self._file = -1
        self._end = 0
        self._is_synced = True

    def open(self, head: Mapping[str, Any]) -> None:
        """Begin a journal, or take up the one that is there, and keep other runs out until `close`.

        Args:
            head: everything that the answers depend on, as JSON has it.

        Raises:
            ConfigError: another run writes it, it was begun with another head, or there is an output without
                a journal, which would be lost.
            OryxError: the disk refuses.
        """
        if not self.folder.is_dir() and self.out.exists():
            raise ConfigError(
                f"the output {self.out} exists and {self.folder.name} beside it does not, so there is "
                "nothing to go on from; choose another output, or remove it."
            )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{self.folder} cannot be written ({error.strerror}).") from None
        self._lock = take_lock(
            self.folder / LOCK,
            f"another run is writing {self.out}; let it end, or choose another output.",
            self._patience,
        )
        try:
            self._take_up(json.loads(json.dumps(head)))
        except OSError as error:
            self.close()
            raise disk_error(self.folder, error) from None
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let other runs in. What was appended is on the disk, as far as the disk takes it."""
        if self._file >= 0:
            with suppress(OSError):
                os.fsync(self._file)
            os.close(self._file)
            self._file = -1
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def append(self, row: int, output: Mapping[str, Any]) -> None:
        """Keep what goes into the output for a row.

        Raises:
            OryxError: the disk refuses; the journal is as it was before.
        """
        line = json.dumps({"row": row, "output": output}, ensure_ascii=False).encode() + b"\n"
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError as error:
            with suppress(OSError):  # what is left of the line is dropped when the journal is next opened
                os.ftruncate(self._file, self._end)
            raise disk_error(self.folder / ANSWERS, error) from None
        self._note(row, output, self._end)
        self._end += len(line)
        self._is_synced = False

    def sync(self) -> None:
        """Put what was appended onto the disk. May run in another thread than `append`.

        Raises:
            OryxError: the disk refuses.
        """
        if not self._is_synced:
            self._is_synced = True
            try:
                os.fsync(self._file)
            except OSError as error:
                raise disk_error(self.folder / ANSWERS, error) from None

    def is_done(self, row: int) -> bool:
        """Whether there is an output for a row, errors included."""
        return self._places[row] >= 0

    def is_error(self, row: int) -> bool:
        """Whether the output for a row is an error."""
        return bool(self._has_error[row])

    def outputs(self, rows: Iterable[int]) -> Iterator[dict[str, Any]]:
        """What goes into the output for rows that are done, in the order of `rows`."""
        with (self.folder / ANSWERS).open("rb") as file:
            for row in rows:
                file.seek(self._places[row])
                yield json.loads(file.readline())["output"]

    def _take_up(self, head: dict[str, Any]) -> None:
        path = self.folder / HEAD
        if path.is_file():
            _check_same(self.out, _read_head(path), head)
        else:
            # A kill before the head was there leaves the lock, and perhaps a hidden part of the head.
            others = [other.name for other in self.folder.iterdir() if not other.name.startswith(".")]
            if others:
                raise ConfigError(f"{self.folder} is no journal of a batch; choose another output.")
            write_whole(path, (json.dumps(head, indent=1) + "\n").encode())
            sync_folder(self.folder)
        self._file = os.open(self.folder / ANSWERS, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        with (self.folder / ANSWERS).open("rb") as lines:
            self._end = self._read(lines)
        if os.fstat(self._file).st_size > self._end:
            os.ftruncate(self._file, self._end)

    def _read(self, lines: BinaryIO) -> int:
        """Note every whole line. Returns where the next one goes."""
        end = 0
        for line in lines:
            if not line.endswith(b"\n"):
                self.num_dropped += 1
                break
            row, output = _read_line(line, len(self._places))
            if row is None:
                self.num_dropped += 1
            else:
                self._note(row, output, end)
            end += len(line)
        return end

    def _note(self, row: int, output: Mapping[str, Any], place: int) -> None:
        self._places[row] = place
        self._has_error[row] = "error" in output


def disk_error(path: Path, error: OSError) -> OryxError:
    """The sentence about a disk that refuses."""
    return OryxError(
        f"{path} cannot be written ({error.strerror or error}); what is answered is kept, and the same "
        "command goes on from it."
    )


def sync_folder(folder: Path) -> None:
    """Put a folder's names onto the disk, where the system has a way to."""
    with suppress(OSError, AttributeError):
        place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(place)
        finally:
            os.close(place)


def _read_line(line: bytes, num_rows: int) -> tuple[int | None, dict[str, Any]]:
    try:
        entry = json.loads(line)
        row, output = entry["row"], entry["output"]
    except (ValueError, KeyError, TypeError):
        return None, {}
    is_known = type(row) is int and 0 <= row < num_rows and isinstance(output, dict)
    return (row, output) if is_known else (None, {})


def _read_head(path: Path) -> dict[str, Any]:
    try:
        head = json.loads(path.read_bytes())
    except ValueError:
        head = None
    if not isinstance(head, dict):
        raise ConfigError(f"{path} is no head of a journal; remove {path.parent}, or choose another output.")
    return head


def _check_same(out: Path, saved: Mapping[str, Any], head: Mapping[str, Any]) -> None:
    """Raises ConfigError that names everything in which two heads differ."""
    if saved.get("input") != head.get("input"):
        raise ConfigError(
            f"the input has other content than when {out} was begun; choose another output, or give the "
            "input back its content."
        )
    differing = [
        f"{name} {_show(saved.get(name))}, not {_show(head.get(name))}"
        for name in dict.fromkeys((*saved, *head))
        if saved.get(name) != head.get(name)
    ]
    if differing:
        raise ConfigError(
            f"{out} was begun with {'; '.join(differing)}. Go on as it was begun, or choose another output."
        )


def _show(value: Any) -> str:
    text = "none" if value is None else value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 80 else text[:77] + "..."
