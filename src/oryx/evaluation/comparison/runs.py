"""Runs as the page shows them, whatever task they are of."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from oryx.errors import ConfigError

Interval = tuple[float, float]


@dataclass(frozen=True)
class Scored:
    """One question and how it was answered."""

    question: str
    expected: str
    answer: str
    score: float
    """0 to 1."""
    cluster: Hashable
    """Questions with the same one are not independent."""
    shows: Hashable = None
    """What else makes it the same question in two runs, such as the seed that draws its picture."""

    @property
    def identity(self) -> Hashable:
        """Equal for the same question in two runs."""
        return self.question, self.expected, self.cluster, self.shows


@dataclass(frozen=True)
class Row:
    """One number of a run."""

    group: str
    """Rows of one group stand together."""
    label: str
    value: float
    interval: Interval | None
    """95%."""
    count: int | None
    """Of the questions."""
    chance: float | None = None
    is_share: bool = True
    """From 0 to 1, and shown in percent."""
    higher_is_better: bool | None = True
    scores: Mapping[Hashable, Scored] | None = None
    """Place of a question in the test -> the question; None where the answers are not kept."""
    order: int = 0
    """Rows of a group stand in this order, those with the same one as they come."""
    is_main: bool = True
    """Shown in the chart; others stand in the table alone."""

    @property
    def key(self) -> tuple[str, str]:
        """Equal for the same number of two runs."""
        return self.group, self.label


@dataclass(frozen=True)
class Heat:
    """Shares by two settings."""

    rows: list[str]
    columns: list[str]
    row_title: str
    column_title: str
    shares: np.ndarray
    """(rows, columns), 0 to 1."""


@dataclass(frozen=True)
class Run:
    """One model on one task."""

    task: str
    folder: Path
    model: str
    identity: str
    """Of the weights; see `identity_of`. For another harness what it says of the model."""
    settings: Mapping[str, str]
    """Options that it was run with -> their values."""
    machine: Mapping[str, str]
    """Device, types and versions -> what they were."""
    facts: str
    """One line on the model."""
    command: str
    rows: list[Row] = field(default_factory=list)
    heat: Heat | None = None
    num_unparsed: int | None = None
    """Answers that say nothing; None where nobody counted."""
    notes: list[str] = field(default_factory=list)


def read_results(path: Path) -> dict[str, Any]:
    """The JSON object of a results file. Raises `ConfigError` if it is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}).") from None
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise ConfigError(f"{path} cannot be read as results: it holds no JSON object.")
    return content


def read_lines(path: Path) -> list[dict[str, Any]] | None:
    """The objects of a file of answers; None if it is not there. Raises `ConfigError` if it is none."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
        entries = [json.loads(line) for line in lines if line]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError):
        entries = [None]
    if not all(isinstance(entry, dict) for entry in entries):
        raise ConfigError(f"{path} cannot be read as answers: a line holds no JSON object.")
    return entries


def without_twins(entries: Iterable[tuple[Hashable, Scored]], path: Path) -> dict[Hashable, Scored]:
    """Place -> question. Raises `ConfigError` if a place is there twice."""
    found: dict[Hashable, Scored] = {}
    for place, scored in entries:
        if place in found:
            told = ", ".join(map(str, place)) if isinstance(place, tuple) else str(place)
            raise ConfigError(f"{path} holds the answer to {told} twice.")
        found[place] = scored
    return found
