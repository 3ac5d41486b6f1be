"""Attention over packed views: one contract, several backends, each tested against plain softmax.

`attend(q, k, v, packing)` takes (P, H, d) queries, keys and values in the packing's order and returns
(P, H, d). No patch sees another view.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from oryx.model.layout import Packing


def attend_eager(q: Tensor, k: Tensor, v: Tensor, packing: Packing) -> Tensor:
    """Plain softmax in float32, one group of equal lengths at a time: the definition."""
    out = torch.empty_like(v)
    for first, count, length in packing.groups:
        stop = first + count * length
        qg, kg, vg = (x[first:stop].unflatten(0, (count, length)).transpose(1, 2) for x in (q, k, v))
        scores = (qg @ kg.transpose(-1, -2)).float() * q.shape[-1] ** -0.5
        attended = scores.softmax(-1).to(v.dtype) @ vg
        out[first:stop] = attended.transpose(1, 2).flatten(0, 1)
    return out


def attend_sdpa(q: Tensor, k: Tensor, v: Tensor, packing: Packing) -> Tensor:
    """`scaled_dot_product_attention`, one call for each group of equal lengths. CPU, MPS and CUDA."""
    pieces = []
    for first, count, length in packing.groups:
        stop = first + count * length
        qg, kg, vg = (x[first:stop].unflatten(0, (count, length)).transpose(1, 2) for x in (q, k, v))
        pieces.append(F.scaled_dot_product_attention(qg, kg, vg).transpose(1, 2).flatten(0, 1))
    return pieces[0] if len(pieces) == 1 else torch.cat(pieces)


def attend_varlen(q: Tensor, k: Tensor, v: Tensor, packing: Packing) -> Tensor:
    """`torch.nn.attention.varlen`: one kernel for all lengths. CUDA from Ampere on, in half precision."""
    from torch.nn.attention.varlen import varlen_attn

    lengths = torch.tensor([0, *packing.lengths], dtype=torch.int32, device=q.device)
    longest = max(packing.lengths)
    ends = lengths.cumsum(0, dtype=torch.int32)
    return cast(Tensor, varlen_attn(q, k, v, ends, ends, longest, longest))


def choose_attention(
    implementation: str | None, q: Tensor
) -> Callable[[Tensor, Tensor, Tensor, Packing], Tensor]:
    """The backend for `attn_implementation` where `q` lives: "eager", else the fastest that takes it."""
    if implementation == "eager":
        return attend_eager
    is_half = q.dtype in (torch.float16, torch.bfloat16)
    # The kernel is flash attention, which older cards (compute capability 7.5 and below) cannot run.
    if (
        q.is_cuda
        and is_half
        and q.shape[-1] % 8 == 0
        and torch.cuda.get_device_capability(q.device) >= (8, 0)
    ):
        try:
            from torch.nn.attention import varlen  # noqa: F401
        except ImportError:
            return attend_sdpa
        return attend_varlen
    return attend_sdpa
