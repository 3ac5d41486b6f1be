"""A model's numbers from its config: what the planner reckons with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from oryx.config import OryxConfig
from oryx.processing.costs import ModelSizes

_TEXT = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "vocab_size",
    "max_position_embeddings",
    "model_type",
    "attention_bias",
    "tie_word_embeddings",
)


def model_sizes(config: OryxConfig, dtype: str | None = None, quantize: str | None = None) -> ModelSizes:
    """Sizes of a config over any causal language model.

    Args:
        dtype: "float32", "bfloat16" or "float16"; None is the config's own.
        quantize: as in `oryx.load`.

    Raises:
        TypeError: a number of the config is none.
    """
    text: Any = config.text_config
    numbers: dict[str, Any] = {name: getattr(text, name, None) for name in _TEXT}
    numbers["intermediate_size"] = getattr(text, "intermediate_size", None) or 4 * text.hidden_size
    dtype = dtype or str(config.dtype or "float32").removeprefix("torch.")
    sizes = ModelSizes.from_settings(vars(config.vision_config), numbers, config.compressor_dim, dtype)
    return replace(sizes, quantize=quantize)
