"""The tower's linear layers in int8, for CPUs with VNNI: faster than bfloat16, for inference only.

Weights have one scale per output channel, made once; activations one scale per patch, made at every call, so
that no patch depends on its neighbours in the packing. Legend: P packed patches, K inputs, N outputs.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from oryx.errors import ConfigError
from oryx.model.cpu import multiplies_int8
from oryx.model.vision import Block, OryxVisionModel

# The least values of activations that end below zero; what follows them then has all 256 levels above it.
FLOORS = {"gelu": -0.17005, "gelu_new": -0.17005, "gelu_pytorch_tanh": -0.17005, "relu": 0.0}
# Patches rounded at a time, so that what is between stays in the cache.
ROWS = 256
# A patch of zeros has no scale of its own.
TINY = 1e-6


def check_int8(device: torch.device) -> None:
    """Raises ConfigError where a tower on `device` could not run in int8."""
    if device.type != "cpu" or not multiplies_int8():
        where = "this CPU, which has no AVX512-VNNI" if device.type == "cpu" else f"device {device}"
        raise ConfigError(f"the vision tower cannot run in int8 on {where}; leave vision_dtype at auto.")


def quantize_tower(tower: OryxVisionModel) -> OryxVisionModel:
    """Replace the linear layers of all blocks by int8 ones, in place; the tower is frozen and returned.

    The patch embedding, norms, positions and attention stay as they are.

    Raises:
        ConfigError: the CPU has no int8 products, or the tower is not on the CPU.
    """
    check_int8(next(tower.parameters()).device)
    floor = FLOORS.get(tower.config.hidden_act)
    for block in tower.blocks:
        assert isinstance(block, Block)
        block.attn.qkv = _quantized(block.attn.qkv)
        block.attn.proj = _quantized(block.attn.proj)
        block.mlp.fc1 = _quantized(block.mlp.fc1)
        block.mlp.fc2 = _quantized(block.mlp.fc2, floor)
    tower.requires_grad_(False)
    return tower


def _quantized(linear: nn.Linear, floor: float | None = None) -> Any:
    return linear if isinstance(linear, Int8Linear) else Int8Linear(linear, floor)


class Int8Linear(nn.Module):
    """W8A8 `nn.Linear` in the dtype of its input. Its weight is in oneDNN's own layout and cannot be saved.

    A patch is stored as uint8 (what oneDNN's products take): values in [-a, a] as 128 + 127 x / a, or, where
    no input is below `floor`, values in [floor, a] as 255 (x - floor) / (a - floor).
    """

    def __init__(self, linear: nn.Linear, floor: float | None = None) -> None:
        super().__init__()
        self.floor = floor
        weight_NK = linear.weight.detach().float()
        scale_N = weight_NK.abs().amax(1).clamp(min=TINY) / 127
        quantized_NK = (weight_NK / scale_N[:, None]).round().to(torch.int8)
        self.packed = torch.ops.onednn.qlinear_prepack(quantized_NK, None)
        self.scale_N = scale_N
        self.zeros_N = torch.zeros_like(scale_N, dtype=torch.int32)
        bias_N = torch.zeros_like(scale_N) if linear.bias is None else linear.bias.detach().float()
        if floor is not None:
            bias_N = bias_N + floor * scale_N * quantized_NK.sum(1)
        self.bias_N = bias_N.to(linear.weight.dtype)

    def forward(self, x_PK: Tensor) -> Tensor:
        if torch.is_grad_enabled() and x_PK.requires_grad:
            raise ConfigError("a vision tower in int8 cannot be trained; load it with vision_dtype=auto.")
        # Scales are rounded to the input's dtype first, so that dividing and multiplying by them agree.
        if self.floor is None:
            scale_P1 = x_PK.abs().amax(-1, keepdim=True).clamp(min=TINY) / 127
        else:
            scale_P1 = (x_PK.amax(-1, keepdim=True) - self.floor).clamp(min=TINY) / 255
        codes_PK = torch.empty_like(x_PK, dtype=torch.uint8)
        for x, scale, codes in zip(x_PK.split(ROWS), scale_P1.split(ROWS), codes_PK.split(ROWS)):
            # int8 first: conversion to uint8 is not vectorised. Flipping the top bit adds 128.
            signed = (x.float() - (self.floor or 0.0)).div_(scale.float())
            if self.floor is not None:
                signed.sub_(128)
            rounded = signed.round_().clamp_(-128, 127).to(torch.int8)
            torch.bitwise_xor(rounded.view(torch.uint8), 128, out=codes)
        out_PN = torch.ops.onednn.qlinear_pointwise(
            codes_PK, 1.0, 128 if self.floor is None else 0, self.packed, self.scale_N, self.zeros_N, None,
            1.0, 0, x_PK.dtype, "none", [], "",
        )  # fmt: skip
        return torch.addcmul(self.bias_N, out_PN, scale_P1)

    def _save_to_state_dict(self, *args: Any, **kwargs: Any) -> None:
        raise ConfigError("a vision tower in int8 cannot be saved; save the model it was loaded from.")
