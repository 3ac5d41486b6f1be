"""Low-rank adapters instead of all of the language model's weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from oryx.errors import ConfigError
from oryx.training.sections.checks import at_least, check_finite


@dataclass(frozen=True, kw_only=True)
class LoraSection:
    """LoRA (arXiv 2106.09685) on the language model; other parts of `train` learn whole.

    The tower, the compressor and the projector never get adapters.
    """

    rank: int = 16
    """Rank of each adapter."""
    alpha: float = 32.0
    """Adapters count alpha / rank times."""
    dropout: float = 0.0
    """Share of an adapter's inputs that is dropped while training."""
    target_modules: tuple[str, ...] = ()
    """Names of the linear layers that get an adapter, such as q_proj; where left out, all but the head."""
    modules_to_save: tuple[str, ...] = ()
    """Names of the language model's modules that learn whole, such as embed_tokens and lm_head."""
    quantize: Literal["none", "int8", "nf4"] = "none"
    """How the frozen linear layers are held (QLoRA, arXiv 2305.14314): int8 by torchao, nf4 by bitsandbytes.
    What is exported is merged into the weights as they were."""

    def __post_init__(self) -> None:
        check_finite(self)
        at_least(self, 1, "rank")
        if self.alpha <= 0:
            raise ConfigError(f"alpha is {self.alpha:g}; it must be above 0.")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout is {self.dropout:g}; it must be at least 0 and below 1.")
