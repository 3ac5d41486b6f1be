"""The dynamic compressor against its formula, region by region."""

import pytest
import torch
from factories import make_config

from oryx.model.compressor import DynamicCompressor
from oryx.processing.geometry import REGIONS


@pytest.fixture
def compressor():
    torch.manual_seed(0)
    module = DynamicCompressor(make_config())
    torch.nn.init.normal_(module.query.weight)
    torch.nn.init.normal_(module.key.weight)
    return module


def plain(module, features, grids, ratios):
    tokens, first = [], 0
    for (height, width), ratio in zip(grids, ratios):
        grid = features[first : first + height * width].view(height, width, -1)
        first += height * width
        rows, columns = REGIONS[ratio]
        for top in range(0, height, rows):
            for left in range(0, width, columns):
                region = grid[top : top + rows, left : left + columns].flatten(0, 1)
                average = region.mean(0)
                scores = module.key(region) @ module.query(average) / module.query.out_features**0.5
                tokens.append(average + scores.softmax(0) @ region)
    return torch.stack(tokens)


@pytest.mark.parametrize("ratios", [[1, 1], [2, 2], [4, 4], [8, 8], [16, 16], [1, 16], [8, 2]], ids=str)
@torch.no_grad()
def test_formula(compressor, ratios):
    grids = [[4, 8], [8, 4]]
    features = torch.randn(64, 24)
    actual = compressor(features, grids, ratios)
    torch.testing.assert_close(actual, plain(compressor, features, grids, ratios), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_one_patch_to_a_region_doubles_it(compressor):
    features = torch.randn(6, 24)
    torch.testing.assert_close(compressor(features, [[2, 3]], [1]), 2 * features)


@torch.no_grad()
def test_mixed_ratios_equal_each_view_alone(compressor):
    grids, ratios = [[4, 4], [4, 8], [2, 2], [4, 4]], [16, 4, 1, 16]
    features = torch.randn(16 + 32 + 4 + 16, 24)
    pieces = features.split([height * width for height, width in grids])
    alone = [compressor(piece, [grid], [ratio]) for piece, grid, ratio in zip(pieces, grids, ratios)]
    torch.testing.assert_close(compressor(features, grids, ratios), torch.cat(alone), atol=1e-6, rtol=1e-6)


def test_weights_that_1x_does_not_need_are_reached_by_their_layers_where_others_wait(compressor, monkeypatch):
    """ZeRO-3 gathers a weight before its layer's own forward, and finds no gradient for it elsewhere."""
    monkeypatch.setattr("oryx.model.compressor.is_distributed", lambda: True)
    reached = []
    for layer in (compressor.query, compressor.key):
        layer.register_forward_hook(lambda layer, *_: reached.append(layer))
    features = torch.randn(4, make_config().vision_config.hidden_size)
    compressed = compressor.train()(features, [[2, 2]], [1])
    assert torch.equal(compressed, 2 * features)
    compressed.sum().backward()
    assert reached == [compressor.query, compressor.key]
    assert all(weight.grad is not None and not weight.grad.any() for weight in compressor.parameters())
