"""The course of the learning rate: a pure function of the step, so that resuming needs no state for it."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """Rises over `warmup` steps, then follows `kind`; calling it gives the share of the peak at a step."""

    kind: str
    """cosine, constant, linear or wsd."""
    steps: int
    """Steps of the whole run."""
    warmup: int
    """Steps of the rise. The first step already learns."""
    decay: int
    """Steps of the fall at the end, for wsd."""
    floor: float = 0.0
    """Share of the peak at the end; `constant` never falls."""

    def __call__(self, step: int) -> float:
        """Factor on the learning rate for `step`, counted from 0."""
        if step < self.warmup:
            return (step + 1) / (self.warmup + 1)
        if self.kind == "constant":
            return 1.0
        start = max(self.warmup, self.steps - self.decay) if self.kind == "wsd" else self.warmup
        progress = min(1.0, max(0.0, (step - start) / max(1, self.steps - start)))
        share = 0.5 * (1 + math.cos(math.pi * progress)) if self.kind == "cosine" else 1 - progress
        return self.floor + (1 - self.floor) * share
