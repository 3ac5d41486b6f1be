"""What a worker is told once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from oryx.serving.encoding import EncodingLimits

if TYPE_CHECKING:
    from oryx.processing.budget import Planner


@dataclass(frozen=True)
class WorkerSetup:
    """How a worker makes prompts."""

    folder: Path
    """Of the model; weights are not read."""
    planner: Planner
    """With the model's numbers, so that a budget buys what it buys elsewhere."""
    limits: EncodingLimits
    media_root: Path | None
    """Paths must be below it; None for no paths."""
    max_threads: int
    """That decode or resize side by side."""
    confined: bool
    """Give up every right that is not needed, where the kernel can do that."""
