"""Every backend equals plain softmax over each view, whatever the order of the views."""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from oryx.model.attention import attend_eager, attend_sdpa, attend_varlen, choose_attention
from oryx.model.layout import pack_by_length

PACKINGS = [
    [5],
    [4, 4, 4],
    [1, 2, 3],
    [7, 2, 7, 3, 2, 7],  # equal lengths apart: the packing has to reorder
    *(
        [int(n) for n in torch.randint(1, 30, (9,), generator=torch.Generator().manual_seed(s))]
        for s in range(6)
    ),
]


def plain_softmax(q: Tensor, k: Tensor, v: Tensor, lengths: list[int]) -> Tensor:
    """The definition: one dense attention with -inf between positions of different views."""
    view = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    scores = torch.einsum("ihd,jhd->hij", q, k) / q.shape[-1] ** 0.5
    scores = scores.masked_fill(view[:, None] != view[None, :], float("-inf"))
    return torch.einsum("hij,jhd->ihd", scores.softmax(-1), v)


def random_qkv(length: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(length, 2, 8, generator=generator).to(dtype) for _ in range(3)]


@pytest.mark.parametrize("attend", [attend_eager, attend_sdpa])
@pytest.mark.parametrize("lengths", PACKINGS, ids=str)
def test_equals_plain_softmax(attend, lengths):
    q, k, v = random_qkv(sum(lengths))
    packing = pack_by_length(lengths)
    order = packing.order if packing.order is not None else torch.arange(sum(lengths))
    inverse = packing.inverse if packing.inverse is not None else order
    actual = attend(q[order], k[order], v[order], packing)[inverse]
    torch.testing.assert_close(actual, plain_softmax(q, k, v, lengths), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("attend", [attend_eager, attend_sdpa])
def test_no_gradient_crosses_views(attend):
    lengths = [3, 5, 3]
    q, k, v = (x.requires_grad_() for x in random_qkv(11))
    packing = pack_by_length(lengths)
    attend(q[packing.order], k[packing.order], v[packing.order], packing)[packing.inverse][
        3:8
    ].sum().backward()
    for x in (q, k, v):
        assert not x.grad[:3].any()
        assert not x.grad[8:].any()
    assert v.grad[3:8].all()


@pytest.mark.parametrize("attend", [attend_eager, attend_sdpa])
def test_bfloat16_is_close_to_float32(attend):
    lengths = [4, 9, 4]
    packing = pack_by_length(lengths)
    exact = attend(*random_qkv(17), packing)
    halved = attend(*random_qkv(17, dtype=torch.bfloat16), packing)
    assert halved.dtype == torch.bfloat16
    torch.testing.assert_close(halved.float(), exact, atol=3e-2, rtol=3e-2)  # 8 bits of mantissa


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("lengths", PACKINGS, ids=str)
def test_varlen_kernel_equals_plain_softmax(lengths):
    q, k, v = (x.cuda() for x in random_qkv(sum(lengths), dtype=torch.bfloat16))
    packing = pack_by_length(lengths)
    stands_so = packing.order is None
    order = torch.arange(sum(lengths)) if stands_so else packing.order
    inverse = order if stands_so else packing.inverse
    actual = attend_varlen(q[order.cuda()], k[order.cuda()], v[order.cuda()], packing)[inverse.cuda()]
    expected = plain_softmax(q.cpu().float(), k.cpu().float(), v.cpu().float(), lengths)
    torch.testing.assert_close(actual.cpu().float(), expected, atol=3e-2, rtol=3e-2)


def test_choice(monkeypatch):
    q = random_qkv(3)[0]
    on_cuda = SimpleNamespace(
        is_cuda=True, is_cpu=False, dtype=torch.bfloat16, shape=q.shape, device="cuda:1"
    )
    capabilities = {"cuda:1": (8, 0)}
    monkeypatch.setattr(torch.cuda, "get_device_capability", capabilities.__getitem__)
    assert choose_attention("sdpa", on_cuda) is attend_varlen
    capabilities["cuda:1"] = (7, 5)  # the kernel is flash attention, which Turing and Volta lack
    assert choose_attention("sdpa", on_cuda) is attend_sdpa
    capabilities["cuda:1"] = (9, 0)
    on_cuda.dtype = torch.float32
    assert choose_attention("sdpa", on_cuda) is attend_sdpa
    assert choose_attention("eager", q) is attend_eager
    assert choose_attention("sdpa", q) is attend_sdpa
    assert choose_attention(None, q) is attend_sdpa
