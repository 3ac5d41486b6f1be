"""The log of a run: one JSON object a line, appended as things happen, from which the run goes on.

`event` is one of:
clip        `clip` (its number), `video`, `times` (seconds of each frame), `place` and `bytes` of its frames,
            and its `jobs`: [number, task, target frames] of each
unsuitable  `clip`, `video`, `reason`, `unusable` (whether the whole video is, and not this stretch alone)
record      `job`, `clip`, `record`, `captioner`, `tries`, `faults` (of thrown away answers), `seconds`
skipped     `job`, `clip`, `video`, `idx`, `reason`, `again` (if a run that makes more tries it), `tries`, ...
ended       `again`: jobs skipped in a row until the run gave up, which the next one tries, whatever they say
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from oryx.errors import ConfigError, OryxError

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]


class RunLog:
    """An append-only file that one process writes at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.events: list[dict[str, Any]] = []
        """What happened so far, this run and those before."""
        self._file: Any = None
        self._is_broken = False

    def __enter__(self) -> RunLog:
        self._file = self.path.open("ab", buffering=0)  # no buffer that would be written when all is over
        if fcntl is not None:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                self._file.close()
                raise ConfigError(
                    f"another run is writing to {self.path.parent}; wait for it, or stop it."
                ) from None
        try:
            self.events = list(self._read(self._file))
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._file is not None
        self._file.close()

    def append(self, event: str, **values: Any) -> None:
        """Write one event through to the disk. Raises OryxError where it refuses."""
        assert self._file is not None
        entry = {"event": event, **values}
        line = json.dumps(entry).encode() + b"\n"
        if self._is_broken:
            raise disk_error(self.path, OSError("an earlier line is not whole"))
        size = os.fstat(self._file.fileno()).st_size
        try:
            while line:
                line = line[self._file.write(line) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            self._is_broken = True  # nothing may follow half a line
            with suppress(OSError):
                os.ftruncate(self._file.fileno(), size)
                self._is_broken = False
            raise disk_error(self.path, error) from None
        self.events.append(entry)

    def of(self, event: str) -> list[dict[str, Any]]:
        """All events of one kind, in order."""
        return [entry for entry in self.events if entry["event"] == event]

    def _read(self, file: Any) -> Iterator[dict[str, Any]]:
        """The whole lines; what a kill left of the last one is cut off."""
        end = 0
        with self.path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.endswith(b"\n"):
                    file.truncate(end)
                    return
                try:
                    entry = json.loads(line)
                    is_event = isinstance(entry, dict) and "event" in entry
                except ValueError:
                    is_event = False
                if not is_event:
                    raise ConfigError(f"{self.path} line {number} is no log of a run; choose another output.")
                end += len(line)
                yield entry


def disk_error(path: Path, error: OSError) -> OryxError:
    """The sentence about a disk that refuses."""
    return OryxError(
        f"{path} cannot be written ({error.strerror or error}); what was made so far is kept, "
        "and the same command goes on from it."
    )
