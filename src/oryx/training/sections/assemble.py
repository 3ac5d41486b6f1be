"""A model put together from parts that exist."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from oryx.training.sections.checks import at_least

NEW = "new"
"""Instead of a source: random weights."""


@dataclass(frozen=True, kw_only=True)
class AssembleSection:
    """A tower and a language model, and between them a compressor and a projector, new or from a model."""

    vision_tower: str
    """A SigLIP of transformers, `oryx_vit.pth`, or an Oryx model or run whose tower is taken."""
    language_model: str
    """Any causal language model of transformers, or an Oryx model or run whose language model is taken."""
    tokenizer: str | None = None
    """Folder or hub id; the language model's own where left out. Turn markers that it lacks are added."""
    compressor: str = NEW
    """"new", or an Oryx model or run whose compressor is taken."""
    projector: str = NEW
    """"new", or an Oryx model or run whose projector is taken."""
    compressor_dim: int = 256
    """Width of a new compressor's queries and keys."""
    vision: dict[str, Any] = field(default_factory=dict)
    """Settings of the tower that its source leaves open, such as SigLIP's new patch_size and positions."""

    def __post_init__(self) -> None:
        at_least(self, 1, "compressor_dim")
