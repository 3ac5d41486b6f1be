"""Connectors have the compressor's interface, and do what their names say."""

import pytest
import torch

from oryx.config import OryxConfig
from oryx.evaluation.claims.connectors import RegionConnector, make_connector
from oryx.model.compressor import DynamicCompressor

NAMES = ("dynamic", "dynamic_dwconv", "dynamic_convmlp", "subsample", "average", "dwconv", "convmlp")
GRIDS, RATIOS = [[4, 8], [4, 4], [2, 3]], [4, 16, 1]


@pytest.fixture
def config():
    vision = {"hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1, "intermediate_size": 8}
    text = {"model_type": "qwen2", "hidden_size": 8, "num_attention_heads": 2}
    return OryxConfig(vision_config=vision, text_config=text, compressor_dim=4)


@pytest.fixture
def features():
    return torch.randn(32 + 16 + 6, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", NAMES)
def test_one_token_for_each_region_and_gradients_for_all_that_is_used(config, features, name):
    torch.manual_seed(0)
    connector = make_connector(name, config, 0.08)
    tokens = connector(features, GRIDS, RATIOS)
    assert tokens.shape == (8 + 1 + 6, 8)
    if not list(connector.parameters()):
        assert name in ("subsample", "average")
        return
    tokens.square().sum().backward()
    used = {n: p for n, p in connector.named_parameters() if ".2." not in n and ".8." not in n}
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in used.values())


def test_the_dynamic_one_is_the_models_own(config):
    assert type(make_connector("dynamic", config, 0.08)) is DynamicCompressor


def test_averages_and_first_patches(config, features):
    average = make_connector("average", config, 0.08)(features, [[4, 8]], [4])
    region = features[torch.tensor([0, 1, 8, 9])]
    assert torch.allclose(average[0], region.mean(0))
    last = features[torch.tensor([22, 23, 30, 31])]
    assert torch.allclose(average[-1], last.mean(0))
    assert torch.equal(make_connector("subsample", config, 0.08)(features, [[4, 8]], [4])[0], features[0])


def test_a_depthwise_convolution_weighs_every_place_for_itself(config, features):
    connector = make_connector("dwconv", config, 0.08)
    average = make_connector("average", config, 0.08)(features, [[4, 8]], [4])
    assert torch.allclose(connector(features, [[4, 8]], [4]), average, atol=1e-6)
    with torch.no_grad():
        connector.down["4"].weight.zero_()
        connector.down["4"].weight.view(4, 8)[2] = 1.0  # the second row's first patch
    assert torch.equal(connector(features, [[4, 8]], [4])[0], features[8])


def test_attention_around_an_average_is_the_dynamic_compressor(config, features):
    torch.manual_seed(1)
    own = make_connector("dynamic", config, std=0.5)
    other = RegionConnector(config, "average", attends=True)
    other.load_state_dict(own.state_dict())
    for grids, ratios in (([[4, 8]], [4]), (GRIDS, RATIOS)):
        count = sum(h * w for h, w in grids)
        expected, found = own(features[:count], grids, ratios), other(features[:count], grids, ratios)
        assert torch.allclose(expected, found, atol=1e-6)


@pytest.mark.parametrize("name", ["dynamic_dwconv", "dynamic_convmlp", "convmlp"])
def test_linear_layers_begin_as_the_models_own(config, name):
    torch.manual_seed(0)
    connector = make_connector(name, config, 0.5)
    weights = torch.cat([m.weight.flatten() for m in connector.modules() if isinstance(m, torch.nn.Linear)])
    assert weights.std().item() == pytest.approx(0.5, rel=0.2)
