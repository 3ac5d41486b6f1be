"""Sizes of the parts that the project's recipes begin from, so that a dry run needs none of their files."""

from __future__ import annotations

from typing import Any

from transformers import AutoConfig
from transformers.configuration_utils import PreTrainedConfig

from oryx.checkpoints.presets import preset_config
from oryx.config import OryxVisionConfig

# The published models keep the sizes of their language models (the reference's table of models).
_PRESETS = {
    "Qwen/Qwen2-7B-Instruct": "oryx-7b",
    "01-ai/Yi-1.5-34B": "oryx-34b",
    "Qwen/Qwen2.5-7B-Instruct": "oryx-1.5-7b",
    "Qwen/Qwen2.5-32B-Instruct": "oryx-1.5-32b",
}
# Qwen2 technical report (arXiv 2407.10671), table 1; both variants share it.
_QWEN2_05B: dict[str, Any] = {
    "model_type": "qwen2",
    "vocab_size": 151936,
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32768,
    "tie_word_embeddings": True,
}
_TEXT = {"Qwen/Qwen2-0.5B": _QWEN2_05B, "Qwen/Qwen2-0.5B-Instruct": _QWEN2_05B}
# OryxViT has the widths of SigLIP-so400m; from SigLIP, its patches and positions are settings.
_SIGLIP = "google/siglip-so400m-patch14-384"
_ORYX_VIT = "THUdyh/Oryx-ViT"


def known_text_config(name: str) -> PreTrainedConfig | None:
    """The config of a language model by its hub id."""
    if name in _PRESETS:
        return preset_config(_PRESETS[name]).text_config
    if name in _TEXT:
        settings = dict(_TEXT[name])
        return AutoConfig.for_model(settings.pop("model_type"), **settings)
    return None


def known_tower_config(name: str, settings: dict[str, Any]) -> OryxVisionConfig | None:
    """The config of a tower by its hub id, with the settings that it leaves open."""
    return OryxVisionConfig(**settings) if name in (_SIGLIP, _ORYX_VIT) else None
