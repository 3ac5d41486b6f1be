"""How long, how fast, and how much at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from oryx.errors import ConfigError
from oryx.processing.geometry import nearest
from oryx.training.schedule import Schedule
from oryx.training.sections.checks import PARTS, at_least, check_finite


@dataclass(frozen=True, kw_only=True)
class OptimSection:
    """The optimiser and its schedule."""

    optimizer: Literal["adamw", "muon"] = "adamw"
    """AdamW for all, or Muon for the matrices and AdamW for the rest."""
    muon_multiplier: float = 1.0
    """Factor on the learning rate of Muon's matrices; at 1 its steps are as large as AdamW's."""

    steps: int | None = None
    """Optimiser steps of the whole run. This, or `epochs`."""
    epochs: float | None = None
    """Passes over `data.sources`, instead of `steps`; with weights, as many samples as there are records."""
    learning_rate: float = 2e-5
    """Peak learning rate."""
    lr_multipliers: dict[str, float] = field(default_factory=dict)
    """Part -> factor on the learning rate, 1 where left out."""
    schedule: Literal["cosine", "constant", "linear", "wsd"] = "cosine"
    """Course of the learning rate after the warm-up. "wsd" is stable, and falls in the last `decay_ratio`."""
    warmup_ratio: float = 0.03
    """Share of the steps in which the learning rate rises."""
    warmup_steps: int | None = None
    """The same in steps; it wins over `warmup_ratio`."""
    decay_ratio: float = 0.2
    """Share of the steps in which "wsd" falls."""
    min_lr_ratio: float = 0.0
    """Where the schedule ends, as a share of the peak."""
    weight_decay: float = 0.0
    """For matrices only: never for norms, biases, embeddings and other tables."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay of AdamW's two averages."""
    eps: float = 1e-8
    """AdamW's epsilon."""
    max_grad_norm: float = 1.0
    """Gradients are clipped to this norm; 0 for no clipping."""
    max_minutes: float | None = None
    """Stop with a checkpoint after this time of steps: loading and counting, before them, are not in it. The
    schedule does not know of it; the same command goes on."""

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.epochs is None):
            raise ConfigError("steps or epochs must be set, and only one of them.")
        check_finite(self)
        at_least(self, 1, "steps")
        at_least(self, 0, "warmup_steps", "warmup_ratio", "decay_ratio", "min_lr_ratio")
        at_least(self, 0, "weight_decay", "max_grad_norm")
        for name in ("learning_rate", "epochs", "eps", "max_minutes", "muon_multiplier"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ConfigError(f"{name} is {value:g}; it must be above 0.")
        for name in ("warmup_ratio", "decay_ratio", "min_lr_ratio"):
            if getattr(self, name) > 1:
                raise ConfigError(f"{name} is {getattr(self, name):g}; it must be at most 1.")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ConfigError(f"betas is {list(self.betas)}; both must be at least 0 and below 1.")
        for part, factor in self.lr_multipliers.items():
            if part not in PARTS:
                raise ConfigError(
                    f"lr_multipliers.{part} is not a part of the model; {nearest(part, PARTS)}."
                )
            if not 0 < factor < math.inf:
                raise ConfigError(
                    f"lr_multipliers.{part} is {factor:g}; it must be above 0 and finite (or leave the part "
                    "out of train)."
                )

    def make_schedule(self, steps: int) -> Schedule:
        """The learning rate's course over `steps`."""
        warmup = self.warmup_steps if self.warmup_steps is not None else round(self.warmup_ratio * steps)
        return Schedule(self.schedule, steps, warmup, round(self.decay_ratio * steps), self.min_lr_ratio)


@dataclass(frozen=True, kw_only=True)
class BatchSection:
    """One step reads `gradient_accumulation` batches of `rows` rows, each packed full of samples."""

    row_length: int = 8192
    """Positions of a row. No sample may be longer."""
    rows: int = 1
    """Rows of one forward pass."""
    gradient_accumulation: int = 1
    """Forward passes of one step; the loss is that of one large batch."""

    def __post_init__(self) -> None:
        at_least(self, 16, "row_length")
        at_least(self, 1, "rows", "gradient_accumulation")
