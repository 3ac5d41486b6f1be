"""The loss at supervised positions, over any language model's own head and logit rules.

Logits of a large vocabulary are the largest tensors of a training step: 152,064 of them take 0.6 MB a
position in float32, and a few copies of that while a gradient is made. So the head sees supervised positions
alone and, where their logits would still be large, a chunk of them at a time, whose logits are made anew for
the gradient.

Legend: B sequences, T text positions, K supervised positions, E language-model width.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

IGNORE_INDEX = -100
# Logits that exist at once. Each chunk adds once to the gradient of the whole head, so that on a device where
# products are fast the chunks have to be larger. About four copies are alive at the peak.
CHUNK_VALUES = {"cpu": 2**25, "cuda": 2**28}


def cross_entropy(logits: Tensor, targets: Tensor, num_items: Tensor | int | None = None) -> Tensor:
    """Summed cross-entropy in float32 over `num_items`, by default the number of supervised targets."""
    total = F.cross_entropy(
        logits.float(), targets.to(logits.device), ignore_index=IGNORE_INDEX, reduction="sum"
    )
    return total / (count_items(targets) if num_items is None else num_items)


def count_items(targets: Tensor) -> Tensor:
    """Supervised targets; one where there are none, to divide by."""
    return (targets != IGNORE_INDEX).sum().clamp(min=1)


def supervised_outputs(
    language_model: Any, inputs: dict[str, Any], targets_BT: Tensor, num_items: Tensor | int | None = None
) -> Any:
    """The language model's outputs with `loss`, and without logits.

    Args:
        language_model: a causal LM of transformers.
        inputs: its keyword arguments.
        targets_BT: what each position predicts; -100 where unsupervised.
        num_items: as in `cross_entropy`.
    """
    head = language_model.get_output_embeddings()
    where_BT = targets_BT != IGNORE_INDEX
    targets_K = targets_BT[where_BT]
    values = CHUNK_VALUES.get(targets_BT.device.type, CHUNK_VALUES["cpu"])
    rows = max(1, values // head.weight.shape[0])
    if len(targets_K) <= rows:
        with logits_only_at(head, where_BT):
            outputs = language_model(**inputs)
        outputs.loss = cross_entropy(outputs.logits[0], targets_K, num_items)
    else:
        with features_at(language_model.base_model, where_BT) as kept:
            outputs = language_model(**inputs)
        features_KE, template = kept[0]
        total = features_KE.new_zeros((), dtype=torch.float32)
        for chunk, targets in zip(features_KE.split(rows), targets_K.split(rows), strict=True):
            total = total + checkpoint(
                _chunk_loss,
                language_model,
                template,
                chunk,
                targets,
                use_reentrant=False,
                preserve_rng_state=True,  # an adapter of the head may have dropout
            )
        outputs.loss = total / (count_items(targets_K) if num_items is None else num_items)
    outputs.logits = None
    return outputs


@contextmanager
def logits_only_at(head: nn.Module, where_BT: Tensor) -> Iterator[None]:
    """Inside, `head` sees (1, K, E): the K positions of `where_BT`. The model's logit rules still apply."""

    def select(_: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (args[0][where_BT][None], *args[1:])

    handle = head.register_forward_pre_hook(select)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def features_at(decoder: nn.Module, where_BT: Tensor) -> Iterator[list[tuple[Tensor, Any]]]:
    """Inside, the decoder hands none of its features to the head.

    The list gets those at `where_BT` (K, E), and the decoder's outputs without any.
    """
    kept: list[tuple[Tensor, Any]] = []

    def take(_: nn.Module, __: Any, outputs: Any) -> Any:
        empty = _with_features(outputs, outputs.last_hidden_state[:, :0])
        kept.append((outputs.last_hidden_state[where_BT], empty))
        return empty

    handle = decoder.register_forward_hook(take)
    try:
        yield kept
    finally:
        handle.remove()


def _chunk_loss(language_model: Any, template: Any, features_KE: Tensor, targets_K: Tensor) -> Tensor:
    """Summed loss of some positions, by the whole model's forward pass over a decoder that has its answer."""
    decoder = language_model.base_model
    own = decoder.__dict__.get("forward")
    decoder.forward = lambda *_, **__: _with_features(template, features_KE[None])
    try:
        logits = language_model(inputs_embeds=features_KE[None], use_cache=False).logits[0]
    finally:
        if own is None:
            del decoder.forward
        else:
            decoder.forward = own
    return F.cross_entropy(logits.float(), targets_K.to(logits.device), reduction="sum")


def _with_features(outputs: Any, features: Tensor) -> Any:
    changed = copy.copy(outputs)
    changed.last_hidden_state = features
    return changed
