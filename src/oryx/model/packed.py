"""Causal attention over packed rows, one sample at a time.

The "sdpa" of transformers makes a mask of (T, T) instead: a row then costs the square of its length, whatever
is in it, and no fast kernel takes it. Sample by sample it costs the sum of their squares.

Legend: B rows, H heads, T positions, d width of a head.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from oryx.errors import ConfigError

NAME = "sdpa_by_sample"
"""What `attn_implementation` is called in transformers."""


def settle_attention(language_model: Any, by_sample: bool = True) -> str:
    """See that no sample of a packed row sees another, by a pass over two short ones.

    Args:
        language_model: a causal LM of transformers, in float32.
        by_sample: let one that would take "sdpa" attend sample by sample. One that flash attention does not
            know keeps its masks, since it may have rules of its own about them.

    Returns:
        The `attn_implementation` that the model now has.

    Raises:
        ConfigError: samples see each other.
    """
    config, kind = language_model.config, type(language_model).__name__
    if getattr(language_model, "_is_stateful", False):
        raise ConfigError(
            f"{kind} carries a state from token to token, so samples that are packed into one row would see "
            "each other; train a language model without a state."
        )
    if config._attn_implementation not in ("sdpa", "eager", NAME):
        return str(config._attn_implementation)  # flash attention, which runs on no CPU and reads positions
    knows_flash = getattr(language_model, "_supports_flash_attn", False)
    if by_sample and knows_flash and config._attn_implementation == "sdpa":
        language_model.set_attn_implementation(NAME)
        try:
            is_apart = _keeps_samples_apart(language_model)
        except ConfigError:
            language_model.set_attn_implementation("sdpa")
            is_apart = _keeps_samples_apart(language_model)
    else:
        is_apart = _keeps_samples_apart(language_model)
    if not is_apart:
        raise ConfigError(
            f"samples that are packed into one row see each other in {kind} with attn_implementation "
            f"{config._attn_implementation!r}; choose another one or another language model."
        )
    return str(config._attn_implementation)


@torch.no_grad()
def _keeps_samples_apart(language_model: Any) -> bool:
    """Whether another first sample leaves the second of a row as it was."""
    weight = language_model.get_input_embeddings().weight
    generator = torch.Generator().manual_seed(0)
    embeds_BTE = torch.randn(1, 8, weight.shape[1], generator=generator).to(weight)
    other_BTE = embeds_BTE.clone()
    other_BTE[:, :4] *= -1
    position_ids = torch.arange(4, device=weight.device).repeat(2)[None]
    was_training = language_model.training
    language_model.eval()
    try:
        first, second = (
            language_model(inputs_embeds=embeds, position_ids=position_ids, use_cache=False).logits[:, 4:]
            for embeds in (embeds_BTE, other_BTE)
        )
    finally:
        language_model.train(was_training)
    return bool((first - second).abs().max() <= 1e-4 * first.abs().max())


def _attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    position_ids: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """(B, H, T, d) queries, keys and values to (B, T, H, d).

    Args:
        position_ids: (B or 1, T), which restart with each sample.
    """
    num_rows, _, length, _ = query.shape
    if attention_mask is not None or length == 1 or key.shape[2] != length:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
    if position_ids is None:
        raise ConfigError(
            f"{type(module).__name__} does not pass on where samples begin; "
            "set model.attn_implementation to sdpa."
        )
    lengths = _lengths(position_ids)
    if len(lengths) < num_rows:
        lengths = lengths * num_rows
    if all(len(row) == 1 for row in lengths):
        return sdpa_attention_forward(module, query, key, value, None, **kwargs)
    # Splits, not slices, each of whose gradients would be as long as the row.
    rows = []
    for row, *qkv in zip(lengths, query.split(1), key.split(1), value.split(1), strict=True):
        for q, k, v in zip(*(x.split(row, dim=2) for x in qkv), strict=True):
            rows.append(sdpa_attention_forward(module, q, k, v, None, **kwargs)[0])
    return torch.cat(rows, dim=1).unflatten(1, (num_rows, length)).squeeze(0), None


@lru_cache(maxsize=1)  # every layer asks with the same tensor, and on a GPU would wait for the answer
def _lengths(position_ids: Tensor) -> list[list[int]]:
    """Lengths of the samples in each row."""
    begins_BT = torch.ones_like(position_ids, dtype=torch.bool)
    begins_BT[:, 1:] = position_ids.diff(dim=1) != 1
    length = position_ids.shape[1]
    rows = []
    for begins_T in begins_BT.cpu():
        ends = [*begins_T.nonzero().flatten().tolist(), length]
        rows.append([stop - start for start, stop in pairwise(ends)])
    return rows


def _mask(
    batch_size: int,
    q_length: int,
    kv_length: int,
    attention_mask: Tensor | None = None,
    local_size: int | None = None,
    use_vmap: bool = False,
    **kwargs: Any,
) -> Tensor | None:
    """None where only causality and packing hide positions, as `_attention` knows; else "sdpa"'s mask."""
    if attention_mask is None and local_size is None and not use_vmap and q_length == kv_length:
        return None
    return sdpa_mask(
        batch_size,
        q_length,
        kv_length,
        attention_mask=attention_mask,
        local_size=local_size,
        use_vmap=use_vmap,
        **kwargs,
    )


AttentionInterface.register(NAME, _attention)
AttentionMaskInterface.register(NAME, _mask)
