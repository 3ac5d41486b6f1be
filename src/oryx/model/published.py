"""The published model types under the Auto classes: reading one gives the native model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoModelForMultimodalLM,
)

from oryx.config import OryxLlamaConfig, OryxQwenConfig
from oryx.model.modeling import OryxForConditionalGeneration


class OryxQwenForCausalLM(OryxForConditionalGeneration):
    """Name of the published architecture over Qwen2."""

    config_class: Any = OryxQwenConfig

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls, pretrained_model_name_or_path: str | Path, *args: Any, **kwargs: Any
    ) -> OryxForConditionalGeneration:
        """The native model of a published folder or hub id; `vision_tower` is the tower's file if need be."""
        from oryx.loading import load_published, resolve_folder

        config = kwargs.pop("config", None)
        for unused in ("trust_remote_code", "_from_auto", "adapter_kwargs"):
            kwargs.pop(unused, None)
        # The Auto classes have moved these two into the config.
        if attention := getattr(config, "_attn_implementation", None):
            kwargs.setdefault("attn_implementation", attention)
        dtype = kwargs.pop("dtype", None) or kwargs.pop("torch_dtype", None)
        if dtype in (None, "auto"):
            dtype = getattr(config, "dtype", None) or "auto"
        folder = resolve_folder(pretrained_model_name_or_path)
        model, _ = load_published(
            folder, dtype, torch.device("cpu"), kwargs.pop("vision_tower", None), **kwargs
        )
        return model.eval()


class OryxLlamaForCausalLM(OryxQwenForCausalLM):
    """Name of the published architecture over Llama (Yi-1.5)."""

    config_class: Any = OryxLlamaConfig


for _auto in (AutoModel, AutoModelForCausalLM, AutoModelForImageTextToText, AutoModelForMultimodalLM):
    _auto.register(OryxQwenConfig, OryxQwenForCausalLM, exist_ok=True)
    _auto.register(OryxLlamaConfig, OryxLlamaForCausalLM, exist_ok=True)
