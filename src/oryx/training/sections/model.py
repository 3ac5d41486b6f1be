"""Where the weights come from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from oryx.errors import ConfigError
from oryx.training.sections.assemble import AssembleSection
from oryx.training.sections.checks import at_least
from oryx.training.sections.grow import GrowSection


@dataclass(frozen=True, kw_only=True)
class NewModel:
    """A model with random weights."""

    vision: dict[str, Any] = field(default_factory=dict)
    """Settings of `OryxVisionConfig`; the published tower where left out."""
    text: dict[str, Any] = field(default_factory=lambda: {"model_type": "qwen2"})
    """The language model: a `model_type` of transformers and settings; `vocab_size` is the tokenizer's."""
    compressor_dim: int = 256
    """Width of the compressor's queries and keys."""
    tokenizer: str | None = None
    """Folder or hub id of a tokenizer."""
    spelling_samples: int | None = None
    """Instead of `tokenizer`: make a spelling tokenizer from so many samples of all synthetic skills."""

    def __post_init__(self) -> None:
        at_least(self, 1, "compressor_dim", "spelling_samples")
        if (self.tokenizer is None) == (self.spelling_samples is None):
            raise ConfigError("tokenizer or spelling_samples must be set, and only one of them.")


@dataclass(frozen=True, kw_only=True)
class ModelSection:
    """Where the weights come from: exactly one of `from`, `new` and `assemble`."""

    from_: str | None = None
    """Folder, hub id or "nano": weights, tokenizer and processor of a model that exists."""
    new: NewModel | None = None
    """A model with random weights."""
    assemble: AssembleSection | None = None
    """A model put together from parts that exist."""
    processor: dict[str, Any] = field(default_factory=dict)
    """Settings of `OryxProcessor` (resize_rule, prompt_style, ...) that differ from the model's own."""
    vision: dict[str, Any] = field(default_factory=dict)
    """Beside `from`: settings of the tower that change. Tensors that the weights lack begin at random."""
    grow: GrowSection | None = None
    """Beside `from`: more layers, words and positions."""
    attn_implementation: Literal["eager", "sdpa", "flash_attention_2"] | None = None
    """Attention backend. Where left out, the tower takes the fastest that is installed, and the language
    model torch's own, one sample of a packed row at a time."""

    def __post_init__(self) -> None:
        if sum(way is not None for way in (self.from_, self.new, self.assemble)) != 1:
            raise ConfigError("from, new or assemble must be set, and only one of them.")
        if self.vision and self.from_ is None:
            raise ConfigError("vision changes the tower of from; new and assemble have their own vision.")
        if self.grow is not None and self.from_ is None:
            raise ConfigError("grow changes the model of from; others have all of their layers at once.")
