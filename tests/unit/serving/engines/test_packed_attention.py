"""Against plain softmax over each request alone, with everything that language models ask of attention."""

import pytest
import torch
from torch import nn

from oryx.serving.engines.packed_attention import attend_packed

HEADS, KEY_HEADS, SIZE = 4, 2, 8
# (queries, keys) of each request: a whole prompt, a part of one with a past, and single tokens.
REQUESTS = ((5, 5), (3, 9), (1, 7), (1, 1))


def plain(q, k, v, window=None, softcap=None, sinks=None):
    """(H, queries, d) over (H, keys, d), from the definition: the last query stands at the last key."""
    scores = q @ k.mT * SIZE**-0.5
    if softcap:
        scores = softcap * torch.tanh(scores / softcap)
    position = torch.arange(k.shape[1])
    own = position[-q.shape[1] :, None]
    seen = (position <= own) & (position > own - (window or 10**6))
    scores = scores.masked_fill(~seen, float("-inf"))
    if sinks is not None:
        scores = torch.cat([scores, sinks[:, None, None].expand(-1, q.shape[1], 1)], -1)
    return scores.softmax(-1)[..., : k.shape[1]] @ v


@pytest.fixture
def batch():
    """Queries (1, H, Q, d), keys and values (1, key heads, K, d), and where requests end among them."""
    torch.manual_seed(0)
    num_queries, num_keys = (sum(lengths) for lengths in zip(*REQUESTS))
    q = torch.randn(1, HEADS, num_queries, SIZE)
    k, v = torch.randn(2, 1, KEY_HEADS, num_keys, SIZE)
    ends_Q, ends_K = (torch.tensor([0, *lengths]).cumsum(0).int() for lengths in zip(*REQUESTS))
    return q, k, v, ends_Q, ends_K


@pytest.mark.parametrize("settings", [{}, {"window": 3}, {"softcap": 0.5}, {"sinks": torch.randn(HEADS)}])
def test_each_request_attends_to_its_own_past(batch, settings):
    q, k, v, ends_Q, ends_K = batch
    names = {"window": "sliding_window", "softcap": "softcap", "sinks": "s_aux"}
    out, weights = attend_packed(
        nn.Module(),
        q,
        k,
        v,
        None,
        scaling=SIZE**-0.5,
        cu_seq_lens_q=ends_Q,
        cu_seq_lens_k=ends_K,
        **{names[name]: value for name, value in settings.items()},
    )
    assert weights is None
    for request in range(len(REQUESTS)):
        queries = slice(ends_Q[request], ends_Q[request + 1])
        keys = slice(ends_K[request], ends_K[request + 1])
        expected = plain(
            q[0, :, queries],
            k[0, :, keys].repeat_interleave(2, 0),
            v[0, :, keys].repeat_interleave(2, 0),
            **settings,
        )
        torch.testing.assert_close(out[0, queries].transpose(0, 1), expected, atol=1e-5, rtol=1e-5)


def test_reads_the_past_itself_where_the_layers_do_not(batch):
    q, k, v, ends_Q, ends_K = batch
    expected, _ = attend_packed(nn.Module(), q, k, v, None, cu_seq_lens_q=ends_Q, cu_seq_lens_k=ends_K)

    class Cache:
        """As before transformers 5.24."""

        def update(self, key, value, layer, kwargs):
            assert (key.shape[2], value.shape[2], layer) == (10, 10, 3)
            kwargs["cu_seq_lens_k"] = kwargs["cu_seq_lens_k"]["full_attention"]
            return k, v

    layer = nn.Module()
    layer.layer_idx = 3
    ends = {"full_attention": ends_K}
    new_k, new_v = k[:, :, :10], v[:, :, :10]
    out, _ = attend_packed(
        layer, q, new_k, new_v, None, cu_seq_lens_q=ends_Q, cu_seq_lens_k=ends, cache=Cache()
    )
    torch.testing.assert_close(out, expected)


def test_refuses_what_it_does_not_know(batch):
    q, k, v, ends_Q, ends_K = batch
    with pytest.raises(ValueError, match="position bias"):
        attend_packed(nn.Module(), q, k, v, None, cu_seq_lens_q=ends_Q, cu_seq_lens_k=ends_K, position_bias=q)
