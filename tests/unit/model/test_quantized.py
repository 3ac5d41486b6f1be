"""Quantised linear layers against plain ones: the packed form, both ways to multiply, and their error."""

import pytest
import torch
import torch.nn.functional as F

from oryx.model import quantized
from oryx.model.quantized import BLOCK, KERNEL_ROWS, QuantizedLinear, pack_int4, packed_rows, unpack_int4
from oryx.processing.weights import GROUP_SIZE

DTYPES = (torch.float32, torch.bfloat16)


def make_layer(bits, outputs=64, inputs=96, bias=True, dtype=torch.float32, seed=0):
    """(plain layer, the same quantised)."""
    torch.manual_seed(seed)
    plain = torch.nn.Linear(inputs, outputs, bias=bias, dtype=dtype).requires_grad_(False)
    layer = QuantizedLinear(inputs, outputs, bias, bits, dtype).requires_grad_(False)
    if bias:
        layer.bias = plain.bias
    layer.pack(plain.weight)
    return plain, layer


def relative(found, expected):
    return float((found.float() - expected.float()).norm() / expected.float().norm())


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("outputs", [16, 64, 80, BLOCK + 64])
def test_few_rows_and_many_give_what_the_restored_weight_gives(bits, dtype, outputs):
    plain, layer = make_layer(bits, outputs, dtype=dtype)
    weight = layer.weight
    assert weight.shape == plain.weight.shape
    for rows in (1, KERNEL_ROWS[bits], KERNEL_ROWS[bits] + 1, 3 * KERNEL_ROWS[bits]):
        x = torch.randn(2, rows, 96).to(dtype)[:1]
        # The order of sums, and in bfloat16 where the scale is applied, is all that may differ.
        tolerance = 1e-5 if dtype == torch.float32 else 2e-2
        assert relative(layer(x), F.linear(x, weight, plain.bias)) < tolerance
        assert layer(x).shape == (1, rows, outputs)


@pytest.mark.parametrize(("bits", "least", "most"), [(8, 1e-4, 0.01), (4, 0.02, 0.1)])
def test_the_error_is_that_of_its_bits(bits, least, most):
    """8 bits: steps of 1/127 of a row's greatest value; 4 bits: of 1/15 of a group's range."""
    plain, layer = make_layer(bits, 256, 512)
    assert least < relative(layer.weight, plain.weight) < most


def test_int4_steps_stay_within_half_a_step():
    plain, layer = make_layer(4, 64, 64)
    groups = plain.weight.view(64, -1, GROUP_SIZE)
    step = (groups.amax(-1) - groups.amin(-1)) / 15
    error = (layer.weight.view_as(groups) - groups).abs().amax(-1)
    assert (error <= 0.51 * step).all()


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("value", [0.0, 0.125, -3.0])
def test_a_constant_weight_comes_back(bits, dtype, value):
    layer = QuantizedLinear(32, 16, False, bits, dtype)
    layer.pack(torch.full((16, 32), value))
    expected = torch.full((16, 32), value, dtype=dtype)
    torch.testing.assert_close(layer.weight, expected, rtol=1e-2, atol=1e-4)
    assert torch.isfinite(layer(torch.ones(1, 32, dtype=dtype))).all()


@pytest.mark.parametrize(("outputs", "inputs"), [(24, 32), (16, 48), (10, 31)])
def test_a_shape_that_suits_no_groups_gets_8_bits(outputs, inputs):
    plain, layer = make_layer(4, outputs, inputs)
    assert layer.bits == 8
    assert layer.packed.dtype == torch.int8
    for rows in (1, 20):
        x = torch.randn(rows, inputs)
        assert relative(layer(x), plain(x)) < 0.02


def test_bytes():
    _, layer = make_layer(4, 64, 96, bias=False, dtype=torch.bfloat16)
    assert sum(buffer.nbytes for buffer in layer.buffers()) == 64 * 48 + 64 * 3 * 2 * 2
    assert list(layer.parameters()) == []


@pytest.mark.parametrize("bits", [8, 4])
def test_the_original_is_left_alone(bits):
    plain, _ = make_layer(bits)
    torch.manual_seed(0)
    assert torch.equal(plain.weight, torch.nn.Linear(96, 64).weight)


def test_packing_in_blocks_is_packing_at_once():
    values = torch.randint(16, (3 * BLOCK, 64))
    assert torch.equal(pack_int4(values), torch.cat([pack_int4(block) for block in values.split(BLOCK)]))


@pytest.mark.parametrize("bits", [8, 4])
def test_quantising_in_blocks_is_quantising_at_once(bits, monkeypatch):
    _, whole = make_layer(bits, 208, 96)
    monkeypatch.setattr(quantized, "PACK_VALUES", 0)  # the least: 64 outputs at a time
    _, pieces = make_layer(bits, 208, 96)
    assert torch.equal(whole.packed, pieces.packed)
    assert torch.equal(whole.scales, pieces.scales)


def test_unpacking_undoes_packing():
    rows = packed_rows()
    if rows is None:
        pytest.skip("this CPU packs in a layout that is not known here; the kernel does all products")
    assert BLOCK % rows == 0
    values = torch.randint(16, (2 * rows, 32))
    assert torch.equal(unpack_int4(pack_int4(values), rows), values.byte())


def test_an_unknown_layout_leaves_everything_to_the_kernel(monkeypatch):
    plain, layer = make_layer(4)
    known = layer.weight
    monkeypatch.setattr(quantized, "packed_rows", lambda: None)
    assert torch.allclose(layer.weight, known, atol=1e-6)
    x = torch.randn(3 * KERNEL_ROWS[4], 96)
    torch.testing.assert_close(layer(x), F.linear(x, known, plain.bias), rtol=1e-4, atol=1e-5)
