"""Parts of an evaluation that are done, kept until all are: a run that was cut goes on where it was.

The file stands beside the results to come, as `TASK.part.jsonl`. Its first line says what was asked for, and
under which conditions. A line that names a model says whose the parts after it are. Each part is a line of
its own, appended as soon as it is there: a kill costs what is being made, of weights in memory one batch.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from oryx.errors import ConfigError
from oryx.evaluation.output import identity_of, installed_versions, other_settings
from oryx.files import check_writable, write_whole
from oryx.locks import take_lock

Key = tuple[str | int | float | None, ...]
"""Which question or part of an evaluation; in the file a list."""

_PATIENCE_S = 1.0


class Kept(Mapping[Key, dict[str, Any]]):
    """What one model has done so far: key -> content."""

    def __init__(self, journal: Journal, facts: Mapping[str, Any], parts: dict[Key, dict[str, Any]]) -> None:
        self._journal, self._facts, self._parts = journal, facts, parts

    @property
    def path(self) -> Path | None:
        """The file; None where nothing is kept on disk."""
        return self._journal.path

    def __getitem__(self, key: Key) -> dict[str, Any]:
        return self._parts[key]

    def __iter__(self) -> Any:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    def add(self, key: Key, content: dict[str, Any]) -> None:
        """Keep one more part; the content must be JSON."""
        self._parts[key] = content
        self._journal._append(self._facts, key, content)


class Journal:
    """What is done so far, of one model or several, in a file of the results folder."""

    def __init__(
        self,
        folder: Path | None,
        task: str,
        command: str,
        conditions: Mapping[str, Any],
        warn: Callable[[str], None] | None = None,
    ) -> None:
        """Read what an earlier run of the same command left.

        Args:
            folder: of the results; without one, parts are kept in memory alone.
            command: the command line that measures this; see `command_line`.
            conditions: what else the results depend on, as JSON; the versions come on top.
            warn: told once if the disk refuses; the evaluation then goes on, and only in memory.

        Raises:
            ConfigError: what lies there was measured otherwise, or cannot be read.
        """
        self.path = None if folder is None else folder / f"{task}.part.jsonl"
        self._command = command
        self._conditions = {**conditions, "versions": installed_versions()}
        self._warn = warn or (lambda _: None)
        self._models: dict[tuple[str, Any], tuple[dict[str, Any], dict[Key, dict[str, Any]]]] = {}
        self._opened: set[tuple[str, Any]] = set()
        self._file: IO[str] | None = None
        self._lock: Any = None
        self._is_broken = self.path is None
        self._written: Mapping[str, Any] | None = None
        """The model that the file's last lines are of."""
        self._size = 0
        if self.path is not None:
            check_writable(self.path)
            if os.path.lexists(self.path):
                self._read(self.path)

    @classmethod
    def in_memory(cls) -> Kept:
        """Parts of one model that nothing is written of."""
        return cls(None, "", "", {}).of({"model": "", "model_sha256": "", "dtype": "", "endpoint": ""})

    def of(self, facts: Mapping[str, Any]) -> Kept:
        """The parts of a model as it is loaded; `facts` are those of `model_facts`.

        Raises:
            ConfigError: another run writes to the same folder, or wrote to it otherwise since.
        """
        self._take_lock()
        key = _model_key(facts)
        self._opened.add(key)
        _, parts = self._models.setdefault(key, (dict(facts), {}))
        return Kept(self, facts, parts)

    def before(self, identity: str) -> tuple[dict[str, Any], Kept] | None:
        """The facts and parts of an earlier run by a model that is not loaded; see `identity_of`.

        Raises:
            ConfigError: as `of`.
        """
        self._take_lock()
        for (name, _), (facts, parts) in self._models.items():
            if name == identity and parts:
                return facts, self.of(facts)
        return None

    def close(self) -> None:
        """Let another run go on from here; the end of the process does so too."""
        if self._file is not None:
            with suppress(OSError):  # a full disk is told of already; what it did not take is asked again
                self._file.close()
            self._file = None
            self._is_broken = True
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def remove(self) -> None:
        """Take away the parts of all models that were opened, once the results are written.

        The file goes with them, unless another model left some there.
        """
        if self.path is not None:
            left = [own for key, own in self._models.items() if key not in self._opened]
            with suppress(OSError):
                if left:
                    write_whole(self.path, "".join([self._head(), *map(_lines, left)]).encode("utf-8"))
                else:
                    self.path.unlink(missing_ok=True)
                if self._lock is not None:
                    self._lock_file(self.path).unlink(missing_ok=True)
        self.close()

    def _append(self, facts: Mapping[str, Any], key: Key, content: dict[str, Any]) -> None:
        if self._is_broken:
            return
        try:
            file = self._file or self._open()
            file.write(_lines((facts, {key: content}), self._written != facts))
            self._written = facts
            file.flush()
        except OSError as error:  # a full disk must not take the work with it
            self._is_broken = True
            self._warn(f"{self.path} cannot be written ({error.strerror}); the run goes on without it.")

    def _open(self) -> IO[str]:
        assert self.path is not None
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("a", encoding="utf-8")
        if self._size:
            self._file.truncate(self._size)  # without what a kill left of a line
        else:
            self._file.truncate(0)
            self._file.write(self._head())
        return self._file

    def _head(self) -> str:
        return json.dumps({"command": self._command, **self._conditions}) + "\n"

    def _take_lock(self) -> None:
        if self.path is None or self._lock is not None:
            return
        with suppress(OSError):  # told when the first part is written
            self.path.parent.mkdir(parents=True, exist_ok=True)
        complaint = f"another run writes to {self.path.parent}; let it end, or choose another --output."
        self._lock = take_lock(self._lock_file(self.path), complaint, _PATIENCE_S)
        # Another run may have written there since, while this one loaded its model.
        self._models, self._size = {}, 0
        if os.path.lexists(self.path):
            self._read(self.path)

    @staticmethod
    def _lock_file(path: Path) -> Path:
        return path.with_name(f".{path.name}.lock")

    def _read(self, path: Path) -> None:
        try:
            data = path.read_bytes()
            whole = data[: data.rfind(b"\n") + 1]
            lines = _parsed(whole, path)
            if not lines:
                return
            head, facts = lines[0], {}
            other = other_settings(str(head["command"]), self._command)
            changed = [name for name in self._conditions if head[name] != self._conditions[name]]
            for line in lines[1:]:
                if "model" in line:
                    facts = dict(line["model"])
                    continue
                _, parts = self._models.setdefault(_model_key(facts), (dict(facts), {}))
                key = tuple(line.pop("key"))
                if key in parts:
                    told = ", ".join(map(str, key))
                    raise ConfigError(f"{path} holds {told} twice; delete it, or choose another --output.")
                parts[key] = line
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise ConfigError(f"{path} cannot be read; delete it, or choose another --output.") from None
        if other or changed:
            told = other or f"other {' and '.join(changed)}"
            raise ConfigError(
                f"{path} was begun with other settings ({told}); delete it, or choose another --output."
            )
        self._size = len(whole)


def _parsed(whole: bytes, path: Path) -> list[dict[str, Any]]:
    """The objects, one a line. Raises ValueError or TypeError for a first line that is none."""
    objects = []
    for number, line in enumerate(whole.split(b"\n")[:-1], 1):
        try:
            objects.append(dict(json.loads(line)))
        except (ValueError, TypeError):
            if not objects:
                raise
            raise ConfigError(
                f"{path}, line {number} cannot be read; delete that line, or choose another --output."
            ) from None
    return objects


def _model_key(facts: Mapping[str, Any]) -> tuple[str, Any]:
    return identity_of(facts), facts["dtype"]


def _lines(own: tuple[Mapping[str, Any], Mapping[Key, Mapping[str, Any]]], is_named: bool = True) -> str:
    """A model's parts as they stand in the file, its name before them."""
    facts, parts = own
    objects = [{"model": dict(facts)}] * is_named + [{"key": list(key), **one} for key, one in parts.items()]
    return "".join(json.dumps(one) + "\n" for one in objects)
