"""Answers as they come, kept beside the results: a run that was cut goes on, scoring anew asks nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from oryx.errors import ConfigError
from oryx.evaluation.output import installed_versions, other_settings
from oryx.files import check_writable


class KeptAnswers:
    """Answers by id, in a file of JSON lines. The first line says what gave them."""

    def __init__(self, path: Path | None, command: str, conditions: Mapping[str, Any]) -> None:
        """Read what an earlier run of the same command left.

        Args:
            path: of the file; answers are kept in memory alone without one.
            command: the command line that asks for them; see `command_line`.
            conditions: what else they depend on, as JSON: the model's and the records' SHA-256; the versions
                come on top.

        Raises:
            ConfigError: what lies there was answered otherwise, or cannot be read.
        """
        self.path = path
        self._answers: dict[str, str] = {}
        self._facts: dict[str, Any] | None = None
        self._head = {"command": command, **conditions, "versions": installed_versions()}
        self._size = 0
        if path is not None:
            check_writable(path)
            if os.path.lexists(path):
                self._read(path)

    @property
    def facts(self) -> dict[str, Any] | None:
        """See `model_facts`, of the model that gave the answers so far; None before there are any."""
        return self._facts

    @property
    def answers(self) -> Mapping[str, str]:
        """Id -> what the model said."""
        return self._answers

    def begin(self, facts: dict[str, Any]) -> None:
        """Say which model answers from now on, as it was loaded.

        Raises:
            ConfigError: the answers so far were given with another precision, or the disk refuses.
        """
        if self._facts is not None and self._facts["dtype"] != facts["dtype"]:
            raise ConfigError(
                f"{self.path} was begun in {self._facts['dtype']}, not {facts['dtype']}; delete it, or "
                "choose another --output."
            )
        if self._facts is None:
            self._facts = facts
            self._write({**self._head, "model": facts})

    def add(self, name: str, answer: str) -> None:
        """Keep one more. Raises `ConfigError` where the disk refuses."""
        self._answers[name] = answer
        self._write({"id": name, "answer": answer})

    def _write(self, content: dict[str, Any]) -> None:
        if self.path is None:
            return
        line = (json.dumps(content, ensure_ascii=False) + "\n").encode("utf-8", "replace")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                file.truncate(self._size)  # without what a kill left of a line
                file.write(line)
            self._size += len(line)
        except OSError as error:
            raise ConfigError(f"{self.path} cannot be written ({error.strerror}).") from None

    def _read(self, path: Path) -> None:
        try:
            data = path.read_bytes()
            whole = data[: data.rfind(b"\n") + 1]
            lines = [json.loads(line) for line in whole.decode().split("\n")[:-1]]
            if not lines:
                return
            head = lines[0]
            other = other_settings(str(head["command"]), self._head["command"])
            changed = [key for key in self._head if key != "command" and head[key] != self._head[key]]
            self._facts = dict(head["model"])
            self._answers = {str(line["id"]): str(line["answer"]) for line in lines[1:]}
        except (OSError, ValueError, KeyError, TypeError):
            raise ConfigError(f"{path} cannot be read; delete it, or choose another --output.") from None
        if other or changed:
            told = other or f"other {' and '.join(changed)}"
            raise ConfigError(
                f"{path} holds answers of other settings ({told}); delete it, or choose another --output."
            )
        self._size = len(whole)
