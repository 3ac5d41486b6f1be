"""What this machine's CPU can do fast."""

from __future__ import annotations

from platform import machine

import torch


def is_x86() -> bool:
    return machine().lower() in ("x86_64", "amd64")


def multiplies_bfloat16() -> bool:
    """Whether the CPU has instructions for products in bfloat16.

    On x86 oneDNN says yes to any AVX512 core and then emulates them, some hundred times slower.
    """
    if not torch.backends.mkldnn.is_available():
        return False
    if not is_x86():
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    questions = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # not in every release of torch
    return any(getattr(torch.cpu, name)() for name in questions if hasattr(torch.cpu, name))


def multiplies_int8() -> bool:
    """Whether oneDNN has fast products of uint8 by int8 here: on x86 with AVX512-VNNI."""
    if not torch.backends.mkldnn.is_available() or not is_x86():
        return False
    return hasattr(torch.cpu, "_is_vnni_supported") and torch.cpu._is_vnni_supported()
