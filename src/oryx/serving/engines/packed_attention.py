"""Attention over a batch of requests laid end to end, one request at a time.

The library's own way on a CPU is one product of all queries with all keys under a mask, whose cost grows with
the square of the number of requests. Here each request attends to its own keys alone.

Legend: H heads, Q queries of all requests, K keys of all requests, d values in a head.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface

NAME = "oryx_packed"
"""What `set_attn_implementation` knows it by."""


def attend_packed(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Causal attention of each request over its own past, in the terms of `AttentionInterface`.

    Args:
        query: (1, H, Q, d).
        key, value: (1, key-value heads, K, d), those of the past included since transformers 5.24.
        attention_mask: not used.
        sliding_window: positions that a query sees, its own included.
        softcap: scores are squeezed between plus and minus this.
        s_aux: (H,) attention sinks: a score beside those of the keys that takes weight and gives nothing.
        kwargs: `cu_seq_lens_q`, `cu_seq_lens_k` (requests + 1,): where requests end among queries and keys.

    Returns: (1, Q, H, d)
    """
    if kwargs.get("position_bias") is not None:
        raise ValueError("attention with a position bias is not supported")
    key, value, ends_K = _with_past(module, key, value, kwargs)
    lengths_Q = kwargs["cu_seq_lens_q"].diff().tolist()
    lengths_K = ends_K.diff().tolist()
    is_plain = softcap is None and s_aux is None
    groups = query.shape[1] // key.shape[1]
    if not is_plain and groups > 1:
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    pieces = []
    for q, k, v in zip(
        query.split(lengths_Q, 2), key.split(lengths_K, 2), value.split(lengths_K, 2), strict=True
    ):
        num_queries, num_keys = q.shape[2], k.shape[2]
        sees_all = sliding_window is None or num_keys <= sliding_window
        is_causal = is_plain and sees_all and num_queries == num_keys  # there are faster kernels for it
        needs_mask = not is_causal and not (sees_all and num_queries == 1)
        mask = _visible(num_queries, num_keys, sliding_window, q.device) if needs_mask else None
        if not is_plain:
            pieces.append(_attend_plainly(q, k, v, mask, scaling, softcap, s_aux))
            continue
        # Of one query, those that share keys are as many queries of a head: many times faster on a CPU.
        is_folded = num_queries == 1 and groups > 1
        attended = F.scaled_dot_product_attention(
            q.reshape(1, -1, groups, q.shape[3]) if is_folded else q,
            k,
            v,
            mask,
            is_causal=is_causal,
            scale=scaling,
            enable_gqa=groups > 1 and not is_folded,
        )
        pieces.append(attended.reshape(q.shape[:3] + v.shape[3:]))
    return torch.cat(pieces, 2).transpose(1, 2), None


def _with_past(
    module: nn.Module, key: Tensor, value: Tensor, kwargs: dict[str, Any]
) -> tuple[Tensor, Tensor, Tensor]:
    """Keys and values of all positions, and where requests end among them.

    Since transformers 5.24 the model's layers read the past; before, that was left to the attention.
    """
    cache = kwargs.pop("cache", None)
    if cache is not None:
        key, value = cache.update(key, value, module.layer_idx, kwargs)  # which picks the layer's ends, too
    return key, value, kwargs["cu_seq_lens_k"]


def _visible(num_queries: int, num_keys: int, window: int | None, device: torch.device) -> Tensor:
    """(queries, keys) bool, True where a query sees a key."""
    past = num_keys - num_queries  # the last query is at the last key
    visible = torch.ones(num_queries, num_keys, dtype=torch.bool, device=device).tril(past)
    return visible if window is None else visible.triu(past - window + 1)


def _attend_plainly(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None,
    scaling: float | None,
    softcap: float | None,
    s_aux: Tensor | None,
) -> Tensor:
    """The definition, for what `scaled_dot_product_attention` does not know. (1, H, queries, d)."""
    scores = (q @ k.mT) * (q.shape[-1] ** -0.5 if scaling is None else scaling)
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    num_keys = scores.shape[-1]
    if s_aux is not None:
        sinks = s_aux.to(scores.dtype).view(1, -1, 1, 1).expand(-1, -1, scores.shape[2], 1)
        scores = torch.cat([scores, sinks], -1)
    return scores.softmax(-1, dtype=torch.float32)[..., :num_keys].to(v.dtype) @ v


AttentionInterface.register(NAME, attend_packed)
