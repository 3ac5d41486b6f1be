"""Attention over packed views: one contract, several backends, each tested against plain softmax.

`attend(q, k, v, packing)` takes (P, H, d) queries, keys and values in the packing's order and returns
(P, H, d). No patch sees another view.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from oryx.model.cpu import is_x86, multiplies_bfloat16
from oryx.model.layout import Packing

Attend = Callable[[Tensor, Tensor, Tensor, Packing], Tensor]

# Scores that each thread of `attend_blocked` holds at once: 3 MiB in bfloat16, still near a core.
BLOCK = 3 * 2**19
# Below this many patches a view has too little work for a call of its own.
MIN_BLOCKED = 128


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
    # Splits, not slices, each of whose gradients would be as long as all patches.
    sizes = [count * length for _, count, length in packing.groups]
    pieces = []
    for (_, count, length), *qkv in zip(packing.groups, *(x.split(sizes) for x in (q, k, v)), strict=True):
        qg, kg, vg = (x.unflatten(0, (count, length)).transpose(1, 2) for x in qkv)
        pieces.append(F.scaled_dot_product_attention(qg, kg, vg).transpose(1, 2).flatten(0, 1))
    return pieces[0] if len(pieces) == 1 else torch.cat(pieces)


@torch.no_grad()
def attend_blocked(q: Tensor, k: Tensor, v: Tensor, packing: Packing) -> Tensor:
    """Plain products and softmax over blocks of scores that stay in the cache: bfloat16 on CPUs, no gradient.

    A block is several whole heads of a short view, or some rows of one head of a long one, so memory does not
    grow with the square of the patches. Scores are rounded to the dtype of `q`, as in `attend_eager`.
    """
    if any(length < MIN_BLOCKED for _, _, length in packing.groups):
        return attend_sdpa(q, k, v, packing)
    out = torch.empty_like(q, memory_format=torch.contiguous_format)
    num_heads, budget = q.shape[1], BLOCK * torch.get_num_threads()
    first = 0
    for length in packing.lengths:
        qv, kv, vv, ov = (x[first : first + length].transpose(0, 1) for x in (q, k, v, out))
        heads = min(budget // length**2, num_heads)
        if heads > 1:
            scores = q.new_empty(heads, length, length)
            for h in range(0, num_heads, heads):
                some = slice(h, h + heads)
                _attend_block(qv[some], kv[some], vv[some], ov[some], scores)
        else:  # a product of one head is faster than a batch of one
            rows = min(max(budget // length, 1), length)
            scores = q.new_empty(rows, length)
            for h in range(num_heads):
                for row in range(0, length, rows):
                    some = slice(row, row + rows)
                    _attend_block(qv[h, some], kv[h], vv[h], ov[h, some], scores)
        first += length
    return out


def _attend_block(q: Tensor, k: Tensor, v: Tensor, out: Tensor, scores: Tensor) -> None:
    """Fill `out` (..., T, d) from queries (..., T, d), keys and values (..., L, d); `scores` (..., T, L)."""
    scores = scores[: len(q)]
    multiply = torch.addmm if q.dim() == 2 else torch.baddbmm
    multiply(scores, q, k.mT, beta=0, alpha=q.shape[-1] ** -0.5, out=scores)
    torch.softmax(scores, -1, out=scores)
    torch.matmul(scores, v, out=out)


def attend_varlen(q: Tensor, k: Tensor, v: Tensor, packing: Packing) -> Tensor:
    """`torch.nn.attention.varlen`: one kernel for all lengths. CUDA from Ampere on, in half precision."""
    from torch.nn.attention.varlen import varlen_attn

    return cast(Tensor, varlen_attn(q, k, v, *_bounds(q, packing)))


def attend_flash(q: Tensor, k: Tensor, v: Tensor, packing: Packing) -> Tensor:
    """The `flash-attn` package, for a torch without `varlen`. CUDA from Ampere on, in half precision."""
    from flash_attn import flash_attn_varlen_func

    return cast(Tensor, flash_attn_varlen_func(q, k, v, *_bounds(q, packing)))


def _bounds(q: Tensor, packing: Packing) -> tuple[Tensor, Tensor, int, int]:
    """Where views start and end among queries and among keys, and the longest of each."""
    lengths = torch.tensor([0, *packing.lengths], dtype=torch.int32, device=q.device)
    ends, longest = lengths.cumsum(0, dtype=torch.int32), max(packing.lengths)
    return ends, ends, longest, longest


def choose_attention(implementation: str | None, q: Tensor) -> Attend:
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
            return attend_flash if find_spec("flash_attn") else attend_sdpa
        return attend_varlen
    # Measured on x86; in float32 sdpa is faster.
    if q.is_cpu and q.dtype == torch.bfloat16 and is_x86() and multiplies_bfloat16():
        needs_gradient = torch.is_grad_enabled() and q.requires_grad
        return attend_sdpa if needs_gradient else attend_blocked
    return attend_sdpa
