"""The tower in int8: close to the exact one, and refused where it cannot be."""

import pytest
import torch
import torch.nn.functional as F
from factories import PATCH, make_model
from torch import nn

import oryx
from oryx.config import OryxVisionConfig
from oryx.errors import ConfigError
from oryx.model import int8
from oryx.model.cpu import multiplies_int8
from oryx.model.int8 import FLOORS, Int8Linear, quantize_tower
from oryx.model.vision import OryxVisionModel

GRIDS = [[3, 5], [2, 2], [5, 3]]
needs_int8 = pytest.mark.skipif(not multiplies_int8(), reason="needs a CPU with AVX512-VNNI")


def relative_error(actual, expected):
    return ((actual.float() - expected.float()).norm() / expected.float().norm()).item()


def make_tower(dtype=torch.float32):
    torch.manual_seed(0)
    config = OryxVisionConfig(
        hidden_size=48,
        intermediate_size=80,
        num_hidden_layers=2,
        num_attention_heads=4,
        patch_size=PATCH,
        position_grid_size=8,
        initializer_range=0.2,
    )
    return OryxVisionModel._from_config(config, dtype=dtype).eval()


def make_patches(seed=0):
    count = sum(height * width for height, width in GRIDS)
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3 * PATCH**2), dtype=torch.uint8, generator=generator)


@needs_int8
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.no_grad()
def test_a_linear_layer(dtype):
    """Normal inputs and weights are each rounded to 127 levels a side, which is 0.7% of their norm."""
    torch.manual_seed(0)
    linear, x = nn.Linear(300, 70).to(dtype), torch.randn(600, 300).to(dtype)
    x[3] = 0
    x[4] *= 1000  # its neighbours must not lose their levels to it
    exact, rounded = linear(x), Int8Linear(linear)(x)
    assert rounded.dtype == dtype
    assert torch.allclose(rounded[3], linear.bias)
    assert relative_error(rounded[4], exact[4]) < 0.02
    rest = torch.arange(len(x)) > 4
    assert relative_error(rounded[rest], exact[rest]) < 0.014
    assert torch.equal(Int8Linear(linear)(x[10:20]), rounded[10:20])  # whatever it is packed with


@needs_int8
@torch.no_grad()
def test_a_floor_halves_the_error_of_activations():
    torch.manual_seed(0)
    linear, x = nn.Linear(300, 70), F.gelu(torch.randn(600, 300))
    exact = linear(x)
    plain, floored = (relative_error(Int8Linear(linear, floor)(x), exact) for floor in (None, FLOORS["gelu"]))
    assert floored < 0.011
    assert floored < 0.75 * plain


def test_floors_are_below_every_value():
    x = torch.linspace(-10, 1, 100_000)
    for approximate, name in (("none", "gelu"), ("tanh", "gelu_pytorch_tanh"), ("tanh", "gelu_new")):
        low = F.gelu(x, approximate=approximate).min().item()
        assert low - 1e-3 < FLOORS[name] <= low


@needs_int8
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.no_grad()
def test_a_tower(dtype):
    patches = make_patches()
    exact = make_tower()(patches, GRIDS)
    tower = make_tower(dtype)
    assert quantize_tower(tower) is tower
    layers = [module for module in tower.modules() if isinstance(module, Int8Linear)]
    assert len(layers) == 4 * len(tower.blocks)
    rounded = tower(patches, GRIDS)
    assert rounded.dtype == dtype
    assert 1e-4 < relative_error(rounded, exact) < 0.03  # two layers of the error above
    assert torch.equal(quantize_tower(tower)(patches, GRIDS), rounded)  # twice is once
    alone = tower(patches[:15], GRIDS[:1])
    torch.testing.assert_close(rounded[:15].float(), alone.float(), atol=2e-2, rtol=2e-2)  # steps of int8


@needs_int8
def test_it_is_for_inference():
    tower = quantize_tower(make_tower())
    assert not any(parameter.requires_grad for parameter in tower.parameters())
    tower(make_patches(), GRIDS)  # gradients are on, but nothing needs one
    tower.patch_embed.requires_grad_()
    with pytest.raises(ConfigError, match="cannot be trained"):
        tower(make_patches(), GRIDS)


@needs_int8
def test_it_is_not_saved(tmp_path):
    model = make_model()
    quantize_tower(model.vision_tower)
    with pytest.raises(ConfigError, match="cannot be saved"):
        model.save_pretrained(tmp_path)


def test_where_there_are_no_int8_products(monkeypatch):
    with torch.device("meta"):
        elsewhere = make_tower()
    with pytest.raises(ConfigError, match="in int8 on device meta; leave vision_dtype"):
        quantize_tower(elsewhere)
    monkeypatch.setattr(int8, "multiplies_int8", lambda: False)
    with pytest.raises(ConfigError, match="no AVX512-VNNI; leave vision_dtype"):
        oryx.load("nano", device="cpu", vision_dtype="int8")


def test_an_unknown_vision_dtype():
    with pytest.raises(ConfigError, match="'int4' is unknown; allowed: auto, int8"):
        oryx.load("nano", device="cpu", vision_dtype="int4")


@needs_int8
def test_loading_in_int8():
    model, _ = oryx.load("nano", device="cpu", vision_dtype="int8")
    assert isinstance(model.vision_tower.blocks[0].mlp.fc1, Int8Linear)
