"""A part of the rows for one of several jobs that know nothing of each other."""

from __future__ import annotations

import re
from dataclasses import dataclass

from oryx.errors import ConfigError


@dataclass(frozen=True)
class Shard:
    """Every `count`-th row, so that shards are even however the input is ordered."""

    number: int = 1
    """1 to `count`."""
    count: int = 1

    @property
    def first(self) -> int:
        """Index of the first row."""
        return self.number - 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """ "3/8": the third of eight. Raises ConfigError for anything else."""
        match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text.strip())
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise ConfigError(f"--shard is {text!r}; it must be K/N with K from 1 to N, as in 3/8.")
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


WHOLE = Shard()
"""All rows."""
