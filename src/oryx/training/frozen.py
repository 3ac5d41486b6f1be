"""Frozen linear layers in 8 or 4 bits, through which gradients pass: the base of QLoRA.

Unlike `oryx.model.quantized`, whose kernels answer and do not learn. The head stays as it is: it is read at
supervised positions alone, and its rounding would be part of every loss.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, nn

from oryx.errors import ConfigError


def quantize_frozen(language_model: Any, kind: str, bfloat16: bool, whole: Collection[str] = ()) -> None:
    """Replace the weights of all linear layers but the head.

    Args:
        whole: names of modules that stay as they are, with all that is in them.
        kind: "int8" (one scale a row, torchao) or "nf4" (blocks of 64 with scales in 8 bits, bitsandbytes).
        bfloat16: what they are multiplied in; else float32.

    Raises:
        ConfigError: the package is not installed.
    """
    head = language_model.get_output_embeddings()
    whole_names = set(whole)
    layers = {
        name: module
        for name, module in language_model.named_modules()
        if isinstance(module, nn.Linear) and module is not head and whole_names.isdisjoint(name.split("."))
    }
    dtype = torch.bfloat16 if bfloat16 else torch.float32
    if kind == "int8":
        _to_int8(language_model, layers, dtype)
    else:
        _to_nf4(language_model, layers, dtype)
    language_model.requires_grad_(False)


def _to_int8(language_model: nn.Module, layers: dict[str, nn.Linear], dtype: torch.dtype) -> None:
    try:
        from torchao.quantization import Int8WeightOnlyConfig, quantize_
    except ImportError:
        raise ConfigError("lora.quantize int8 needs torchao; install oryx-mllm[quantize].") from None

    def cast(_: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (args[0].to(dtype), *args[1:])

    for layer in layers.values():
        layer.to(dtype)
        # Autocast does not look into torchao's tensors.
        layer.register_forward_pre_hook(cast)
    quantize_(
        language_model, Int8WeightOnlyConfig(), filter_fn=lambda module, name: module is layers.get(name)
    )


def _to_nf4(language_model: nn.Module, layers: dict[str, nn.Linear], dtype: torch.dtype) -> None:
    try:
        from bitsandbytes.nn import Linear4bit, Params4bit
    except ImportError:
        raise ConfigError("lora.quantize nf4 needs bitsandbytes; install oryx-mllm[qlora].") from None
    device = torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else "cpu"
    for name, old in layers.items():
        new = Linear4bit(
            old.in_features, old.out_features, old.bias is not None, compute_dtype=dtype, quant_type="nf4"
        )
        new.weight = Params4bit(old.weight.detach(), requires_grad=False, quant_type="nf4")
        new.bias = old.bias
        language_model.set_submodule(name, new.to(device))  # moving is what quantises
