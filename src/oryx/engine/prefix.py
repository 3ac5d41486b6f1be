"""Keys and values of the last prompt, kept for the next one that begins alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer


@dataclass
class Prefix:
    """A cache of `transformers` and what stands at its columns."""

    cache: DynamicCache
    columns: np.ndarray
    """(T,) int64, one number for whatever stands there; see `column_keys`."""

    def shared(self, columns: np.ndarray) -> int:
        """How many columns from the start are the same."""
        length = min(len(self.columns), len(columns))
        unlike = np.flatnonzero(self.columns[:length] != columns[:length])
        return int(unlike[0]) if len(unlike) else length

    def take(self, columns: np.ndarray) -> tuple[DynamicCache, int] | None:
        """The cache cut back to what a prompt of these columns shares with it, and how much that is.

        None where nothing is shared or the cache cannot be cut so. Afterwards it belongs to the caller.
        """
        num_shared = min(self.shared(columns), len(columns) - 1)  # at least one position must be run
        num_left_over = self.cache.get_seq_length() - num_shared
        if num_shared < 1 or num_left_over < 0 or not can_cut(self.cache, num_left_over):
            return None
        for layer in self.cache.layers:
            cut(layer, num_left_over)
        return self.cache, num_shared


def keep(cache: Any, columns: np.ndarray) -> Prefix | None:
    """The cache of a finished generation over (T,) columns; None for caches that cannot be gone on from.

    The last token generated has never been run, so the cache is shorter than the columns.
    """
    if not isinstance(cache, DynamicCache) or not can_cut(cache, 0):
        return None
    keys: Any = cache.layers[0].keys  # type: ignore[union-attr]
    if len(keys) != 1:  # beams
        return None
    return Prefix(cache, columns[: cache.get_seq_length()])


def can_cut(cache: DynamicCache, num_columns: int) -> bool:
    """Whether the last columns can be taken off so that the rest is what it was before they came.

    True for plain attention. A sliding window has forgotten what came before it, unless it never was full;
    going on from it as it is needs no cut. States (Mamba, linear attention) cannot go back, and their
    models do not go on from one by several tokens either.
    """
    for layer in cache.layers:
        if type(layer) is DynamicSlidingWindowLayer:
            if num_columns and layer.cumulative_length >= layer.sliding_window:
                return False
        elif type(layer) is not DynamicLayer:
            return False
    return bool(cache.layers)


def cut(layer: Any, num_columns: int) -> None:
    """Take off the last columns. Releases of `transformers` differ in what their own `crop` allows."""
    if not num_columns or not layer.get_seq_length():
        return
    layer.keys = layer.keys[..., :-num_columns, :]
    layer.values = layer.values[..., :-num_columns, :]
    if type(layer) is DynamicSlidingWindowLayer:
        layer.cumulative_length -= num_columns


def column_keys(ids: np.ndarray, spans: list[tuple[int, int]], serials: list[int]) -> np.ndarray:
    """(T,) int64: a token's id, or below zero which visual's which position stands there.

    Frames appended to a video change no position of it but the end mark, which has a number of its own.

    Args:
        ids: (T,) of the prompt.
        spans: (start, stop) of each visual.
        serials: a number for each visual, never used for another one.
    """
    columns = ids.astype(np.int64, copy=True)
    for (start, stop), serial in zip(spans, serials, strict=True):
        first = -((serial + 1) << 32)
        columns[start:stop] = first + 1 + np.arange(stop - start)
        columns[stop - 1] = first
    return columns


def depends_on_length(text_config: Any) -> bool:
    """Whether positions are encoded by the length of the whole, so that no two prompts share them."""
    rope = getattr(text_config, "rope_parameters", None) or {}
    kinds = [rope, *rope.values()]  # one for all layers, or one for each kind of layer
    return any(
        isinstance(kind, Mapping) and kind.get("rope_type") in ("dynamic", "longrope") for kind in kinds
    )
