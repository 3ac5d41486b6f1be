"""Which part of a cache a new prompt can go on from."""

import numpy as np
import pytest
import torch
from factories import make_text_config
from transformers import Gemma2Config, MambaConfig, Qwen2Config
from transformers.cache_utils import DynamicCache, StaticCache

from oryx.engine.prefix import column_keys, keep


def filled(length, config=None, batch=1):
    cache = DynamicCache(config=config) if config is not None else DynamicCache()
    values = torch.arange(float(length)).view(1, 1, length, 1).expand(batch, 1, length, 1)
    for layer in range(2):
        cache.update(values, values, layer)
    return cache


def test_columns_that_begin_alike_are_shared():
    prefix = keep(filled(4), np.array([5, 6, 7, 8, 9]))  # the last token was never run
    assert prefix.columns.tolist() == [5, 6, 7, 8]
    cache, num_kept = prefix.take(np.array([5, 6, 1, 8, 9, 9]))
    assert num_kept == cache.get_seq_length() == 2
    assert cache.layers[1].keys.flatten().tolist() == [0.0, 1.0]


def test_the_last_position_is_always_run():
    cache, num_kept = keep(filled(4), np.array([5, 6, 7, 8])).take(np.array([5, 6, 7, 8]))
    assert num_kept == cache.get_seq_length() == 3
    cache, num_kept = keep(filled(4), np.array([5, 6, 7, 8])).take(np.array([5, 6]))
    assert num_kept == cache.get_seq_length() == 1


@pytest.mark.parametrize("columns", [[1, 6, 7], [5]])
def test_nothing_shared(columns):
    assert keep(filled(3), np.array([5, 6, 7])).take(np.array(columns)) is None


def sliding(window):
    return Gemma2Config(**{**make_text_config("gemma2"), "sliding_window": window})


def test_a_full_sliding_window_cannot_go_back_but_goes_on():
    ids = np.arange(10)
    assert keep(filled(10, sliding(8)), ids).take(np.array([0, 1, 2, 50])) is None
    cache, num_kept = keep(filled(10, sliding(8)), ids).take(np.arange(12))
    assert num_kept == cache.get_seq_length() == 10


def test_a_sliding_window_that_never_was_full_goes_back():
    cache, num_kept = keep(filled(7, sliding(8)), np.arange(7)).take(np.array([0, 1, 2, 50]))
    assert num_kept == 3
    assert [layer.get_seq_length() for layer in cache.layers] == [3, 3]


@pytest.mark.parametrize(
    "cache",
    [
        None,
        StaticCache(config=Qwen2Config(**make_text_config()), max_cache_len=8),
        DynamicCache(config=MambaConfig(num_hidden_layers=2)),
        filled(3, batch=2),
    ],
    ids=["none", "static", "state", "beams"],
)
def test_other_caches_are_not_kept(cache):
    assert keep(cache, np.arange(3)) is None


def test_column_keys_tell_visuals_apart():
    ids = np.array([7, 99, 99, 99, 8, 99, 99])
    keys = column_keys(ids, [(1, 4), (5, 7)], [0, 1])
    assert keys[[0, 4]].tolist() == [7, 8]
    assert len(set(keys.tolist())) == 7
    assert (keys[[1, 2, 3, 5, 6]] < 0).all()


def test_a_longer_video_differs_from_its_end_mark_on():
    short = column_keys(np.full(5, 99), [(0, 5)], [3])
    longer = column_keys(np.full(8, 99), [(0, 8)], [3])
    assert np.flatnonzero(short != longer[:5]).tolist() == [4]
    assert short[-1] == longer[-1]
    other = column_keys(np.full(5, 99), [(0, 5)], [4])
    assert not (short == other).any()
