"""Every backend equals plain softmax over each view, whatever the order of the views."""

import sys
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from oryx.model import attention
from oryx.model.attention import (
    attend_blocked,
    attend_eager,
    attend_flash,
    attend_sdpa,
    attend_varlen,
    choose_attention,
)
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


def blocked(q: Tensor, k: Tensor, v: Tensor, lengths: list[int]) -> Tensor:
    packing = pack_by_length(lengths)
    order = packing.order if packing.order is not None else torch.arange(sum(lengths))
    return attend_blocked(q[order], k[order], v[order], packing)[torch.argsort(order)]


@pytest.mark.parametrize("head_dim", [32, 64, 72])
@pytest.mark.parametrize("scores", [1, 50, 1000, 10**6])  # rows of one head, ..., all heads at once
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_blocks_equal_plain_softmax(monkeypatch, head_dim, scores, dtype):
    monkeypatch.setattr(attention, "BLOCK", scores)
    monkeypatch.setattr(attention, "MIN_BLOCKED", 0)
    lengths = [7, 30, 1, 7, 19]
    generator = torch.Generator().manual_seed(head_dim)
    qkv = torch.randn(sum(lengths), 3, 3, head_dim, generator=generator).to(dtype)
    q, k, v = qkv.unbind(1)  # strided, as the tower's are
    expected = plain_softmax(q.float(), k.float(), v.float(), lengths)
    # In bfloat16 scores, weights and output are each rounded to 8 bits.
    tolerance = 1e-6 if dtype == torch.float32 else 3e-2
    actual = blocked(q, k, v, lengths)
    assert actual.dtype == dtype
    torch.testing.assert_close(actual.float(), expected, atol=tolerance, rtol=tolerance)


def test_blocks_take_large_scores():
    q, k, v = (x.bfloat16() for x in random_qkv(200))
    actual = blocked(q * 100, k * 100, v, [200])  # exp of these overflows
    # Rounding decides between near ties, so only the shape of the answer is certain: a mean of values.
    assert actual.isfinite().all()
    assert (actual.amax(0) <= v.amax(0) + 1e-2).all()
    assert (actual.amin(0) >= v.amin(0) - 1e-2).all()


class LargestResult(TorchDispatchMode):
    """Notes the number of elements of the largest tensor that any operation returns."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            self.elements = max(self.elements, result.numel())
        return result


def test_blocks_bound_the_scores(monkeypatch):
    monkeypatch.setattr(attention, "BLOCK", 2**15)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    q, k, v = (torch.randn(1024, 4, 8).bfloat16() for _ in range(3))
    with LargestResult() as largest:
        attend_blocked(q, k, v, pack_by_length([1024]))
    assert q.numel() <= largest.elements <= 2 * 2**15  # all scores together are 2**22


def test_short_views_share_a_call(monkeypatch):
    calls = []
    monkeypatch.setattr(attention, "attend_sdpa", lambda *args: calls.append(args))
    attend_blocked(*random_qkv(200), pack_by_length([100, 100]))
    assert len(calls) == 1


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


def test_choice_without_the_varlen_kernel(monkeypatch):
    q = SimpleNamespace(is_cuda=True, is_cpu=False, dtype=torch.bfloat16, shape=(3, 2, 8), device="cuda")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (8, 0))
    monkeypatch.setitem(sys.modules, "torch.nn.attention.varlen", None)  # an older torch
    monkeypatch.delattr(torch.nn.attention, "varlen", raising=False)
    monkeypatch.setattr(attention, "find_spec", lambda _: None)
    assert choose_attention(None, q) is attend_sdpa
    monkeypatch.setattr(attention, "find_spec", lambda name: name == "flash_attn")
    assert choose_attention(None, q) is attend_flash


def test_flash_attn_is_told_where_views_end(monkeypatch):
    calls = []
    kernel = SimpleNamespace(flash_attn_varlen_func=lambda *args: calls.append(args))
    monkeypatch.setitem(sys.modules, "flash_attn", kernel)
    q, k, v = random_qkv(7)
    attend_flash(q, k, v, pack_by_length([2, 5]))
    assert [x.tolist() for x in calls[0][3:5]] == [[0, 2, 7]] * 2
    assert calls[0][5:] == (5, 5)


def test_choice_on_cpus_by_dtype_gradient_and_kind(monkeypatch):
    monkeypatch.setattr(attention, "is_x86", lambda: True)
    monkeypatch.setattr(attention, "multiplies_bfloat16", lambda: True)
    q = random_qkv(3, dtype=torch.bfloat16)[0]
    assert choose_attention("sdpa", q) is attend_blocked
    assert choose_attention("sdpa", q.float()) is attend_sdpa
    q.requires_grad_()
    assert choose_attention("sdpa", q) is attend_sdpa
    with torch.no_grad():
        assert choose_attention("sdpa", q) is attend_blocked
        monkeypatch.setattr(attention, "multiplies_bfloat16", lambda: False)
        assert choose_attention("sdpa", q) is attend_sdpa
        monkeypatch.setattr(attention, "multiplies_bfloat16", lambda: True)
        monkeypatch.setattr(attention, "is_x86", lambda: False)
        assert choose_attention("sdpa", q) is attend_sdpa
