"""Lengths of the needle evaluation that are measured, kept until all are: a run that was cut goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from oryx.errors import ConfigError
from oryx.evaluation.needle import NeedleAnswer, NeedleCost, NeedlePart
from oryx.evaluation.output import installed_versions, other_settings, write_text

FILE = "needle.part.json"


class KeptParts:
    """What is measured so far, of one model or two, in a file beside the results to come."""

    def __init__(self, folder: Path | None, command: str, conditions: Mapping[str, str]) -> None:
        """Read what an earlier run of the same command left.

        Args:
            folder: of the results; nothing is kept without one.
            command: the command line that measures this; see `command_line`.
            conditions: what else the results depend on; the versions come on top.

        Raises:
            ConfigError: what lies there was measured otherwise, or cannot be read.
        """
        self._path = None if folder is None else folder / FILE
        self._head: dict[str, Any] = {"command": command, **conditions, "versions": installed_versions()}
        self._kept: list[tuple[dict[str, Any], NeedlePart]] = []
        if self._path is not None and os.path.lexists(self._path):
            self._read(self._path)

    def of(self, model_sha256: str) -> list[tuple[dict[str, Any], NeedlePart]]:
        """The facts of these weights as they were loaded, and what they were measured on, for each length."""
        return [(facts, part) for facts, part in self._kept if facts["model_sha256"] == model_sha256]

    def add(self, facts: dict[str, Any], part: NeedlePart) -> None:
        """Keep one more; `facts` are those of `model_facts`. Raises `ConfigError` where the disk refuses."""
        self._kept.append((facts, part))
        if self._path is not None:
            parts = [{"model": facts, **asdict(part)} for facts, part in self._kept]
            write_text(self._path, json.dumps({**self._head, "parts": parts}, indent=1) + "\n")

    def remove(self) -> None:
        """Take the file away, once the results are written."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _read(self, path: Path) -> None:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            other = other_settings(str(content["command"]), self._head["command"])
            changed = [key for key in self._head if key != "command" and content[key] != self._head[key]]
            for entry in content["parts"]:
                answers = [NeedleAnswer(**answer) for answer in entry["answers"]]
                self._kept.append((dict(entry["model"]), NeedlePart(NeedleCost(**entry["cost"]), answers)))
        except (OSError, ValueError, KeyError, TypeError):
            raise ConfigError(f"{path} cannot be read; delete it, or choose another --output.") from None
        if other or changed:
            told = other or f"other {' and '.join(changed)}"
            raise ConfigError(
                f"{path} was begun with other settings ({told}); delete it, or choose another --output."
            )
