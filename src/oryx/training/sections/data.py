"""What is trained on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from oryx.data.sources.settings import SourceSettings
from oryx.data.synthetic.settings import FIRST_TEST_SEED
from oryx.errors import ConfigError
from oryx.training.sections.checks import at_least, check_finite


@dataclass(frozen=True, kw_only=True)
class SyntheticSection:
    """Samples drawn on the fly by `oryx.data.synthetic`, without end."""

    skills: dict[str, Any]
    """Skill -> its `weight` and settings. Weight 0 leaves out a skill of the recipe that this one extends."""
    seed: int = 0
    """Sample i depends on this and on i alone. Give every recipe of a chain a seed of its own, from 0 to
    9,999,999: those above are for tests."""
    marks: bool = True
    """False: no skill teaches visual tokens what they see, whatever its own `marks` says."""
    weight: float | None = None
    """Share of the samples beside those of `data.sources`; needed where there are any. 0 draws none."""

    def __post_init__(self) -> None:
        if not 0 <= self.seed < FIRST_TEST_SEED:
            raise ConfigError(
                f"seed is {self.seed}; it must be from 0 to {FIRST_TEST_SEED - 1}: those above are for tests."
            )
        for name, settings in self.skills.items():
            if settings is not None and not isinstance(settings, Mapping):
                raise ConfigError(f"skills.{name} is {settings!r}; it must be a section of keys and values.")
        used = {name: dict(given or {}) for name, given in self.skills.items()}
        used = {name: given for name, given in used.items() if given.get("weight") != 0}
        if not used:
            raise ConfigError("skills has no skill with a weight above 0.")
        if not self.marks:
            used = {name: given | {"marks": False} for name, given in used.items()}
        object.__setattr__(self, "skills", used)
        if self.weight is not None and not 0 <= self.weight < math.inf:
            raise ConfigError(f"weight is {self.weight:g}; it must be a finite number of at least 0.")


@dataclass(frozen=True, kw_only=True)
class DataSection:
    """What is trained on: `synthetic` samples, records of `files` and `sources`, or a mixture of these."""

    synthetic: SyntheticSection | None = None
    """Samples drawn on the fly."""
    files: tuple[SourceSettings, ...] = ()
    """Sources too; the key is older than the other formats."""
    sources: tuple[SourceSettings, ...] = ()
    """Records of files. Without weights every record is used once an epoch, each time in another order."""
    supervise: Literal["assistant", "published"] = "assistant"
    """Whose words are learned: the assistant's, or what the published training code labels."""
    max_broken: float = 0
    """Records that may be skipped because they cannot be read: a number, or below 1 a share of all."""
    balance: int = 1
    """So many consecutive batches take about the same time; set it to the number of processes."""

    def __post_init__(self) -> None:
        check_finite(self)
        at_least(self, 0, "max_broken")
        at_least(self, 1, "balance")
        if self.max_broken >= 1 and self.max_broken != int(self.max_broken):
            raise ConfigError(
                f"max_broken is {self.max_broken:g}; it must be a whole number, or a share below 1."
            )
        given = (*self.files, *self.sources)
        if self.synthetic is None and not given:
            raise ConfigError("synthetic, files or sources must be set.")
        if not self.used_sources and not self.draws:
            raise ConfigError("the weights of all sources are 0; at least one must be above 0.")
        if not given:
            return
        weights = [source.weight for source in given]
        if self.synthetic is not None:
            weights.append(self.synthetic.weight)
            if self.synthetic.weight is None:
                raise ConfigError(
                    "synthetic.weight is missing: beside sources, synthetic samples need a share."
                )
        if None in weights and weights.count(None) < len(weights):
            raise ConfigError("sources have weights in part; give every source a weight, or none.")
        if self.balance > 1 and self.draws:
            raise ConfigError(
                "balance is for sources alone: synthetic samples have no length before they are drawn."
            )

    @property
    def used_sources(self) -> tuple[SourceSettings, ...]:
        """Sources of files that are read: those without the weight 0."""
        return tuple(source for source in (*self.files, *self.sources) if source.weight != 0)

    @property
    def draws(self) -> bool:
        """Whether synthetic samples are drawn."""
        return self.synthetic is not None and self.synthetic.weight != 0

    def broken_limit(self, num_records: int) -> int:
        """How many of so many records may be skipped."""
        return int(self.max_broken if self.max_broken >= 1 else self.max_broken * num_records)
