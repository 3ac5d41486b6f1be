"""What is trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from oryx.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class SyntheticSection:
    """Samples drawn on the fly by `oryx.data.synthetic`, without end."""

    skills: dict[str, Any]
    """Skill -> its `weight` and settings. Weight 0 leaves out a skill of the recipe that this one extends."""
    seed: int = 0
    """Sample i depends on this and on i alone. Give every recipe of a chain a seed of its own."""

    def __post_init__(self) -> None:
        for name, settings in self.skills.items():
            if settings is not None and not isinstance(settings, Mapping):
                raise ConfigError(f"skills.{name} is {settings!r}; it must be a section of keys and values.")
        used = {name: dict(given or {}) for name, given in self.skills.items()}
        used = {name: given for name, given in used.items() if given.get("weight") != 0}
        if not used:
            raise ConfigError("skills has no skill with a weight above 0.")
        object.__setattr__(self, "skills", used)


@dataclass(frozen=True, kw_only=True)
class FileSection:
    """One file of records in the LLaVA layout: a JSON list, or JSONL."""

    path: str
    """The file."""
    media_root: str | None = None
    """Folder that the records' media paths start from; the file's own where left out."""


@dataclass(frozen=True, kw_only=True)
class DataSection:
    """What is trained on: exactly one of `synthetic` and `files`."""

    synthetic: SyntheticSection | None = None
    """Samples drawn on the fly."""
    files: tuple[FileSection, ...] = ()
    """Files of records, shuffled together anew in each epoch; every record is used once an epoch."""
    supervise: Literal["assistant", "published"] = "assistant"
    """Whose words are learned: the assistant's, or what the published training code labels."""

    def __post_init__(self) -> None:
        if (self.synthetic is None) == (not self.files):
            raise ConfigError("synthetic or files must be set, and only one of them.")
