"""A model that grows out of a smaller one."""

from __future__ import annotations

from dataclasses import dataclass

from oryx.errors import ConfigError
from oryx.training.sections.checks import at_least


@dataclass(frozen=True, kw_only=True)
class GrowSection:
    """Beside `model.from`: more layers and words; before it is trained the model answers as it did."""

    vision_layers: int | None = None
    """Layers of the tower: at least those that it has, at most twice as many."""
    text_layers: int | None = None
    """Layers of the language model, likewise."""
    max_positions: int | None = None
    """Longest sequence of the language model: its `max_position_embeddings`."""
    spelling_samples: int | None = None
    """Make the spelling tokenizer anew from so many samples of all skills; known words keep their rows."""

    def __post_init__(self) -> None:
        at_least(self, 1, "vision_layers", "text_layers", "max_positions", "spelling_samples")
        if self.vision_layers is self.text_layers is self.max_positions is self.spelling_samples is None:
            raise ConfigError(
                "grow is empty; set some of vision_layers, text_layers, max_positions and spelling_samples."
            )
