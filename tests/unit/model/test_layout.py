"""Index tables against the rules spelled out one patch at a time."""

import pytest
import torch

from oryx.errors import AlignmentError
from oryx.model.layout import BEGIN, END, NEWLINE, SEPARATOR, pack_by_length, region_index, span_index
from oryx.processing.geometry import IMAGE, REGIONS, VIDEO, View, num_visual_tokens


@pytest.mark.parametrize("lengths", [[3], [2, 2], [2, 3, 2], [5, 1, 4, 1, 5, 1]], ids=str)
def test_packing_groups_equal_lengths_and_comes_back(lengths):
    packing = pack_by_length(lengths)
    total = sum(lengths)
    assert sorted(packing.lengths) == sorted(lengths)
    assert sum(count * length for _, count, length in packing.groups) == total
    assert len({length for _, _, length in packing.groups}) == len(packing.groups)
    if packing.order is None:
        assert packing.lengths == lengths
        return
    assert torch.equal(packing.order[packing.inverse], torch.arange(total))
    view = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))[packing.order]
    for first, count, length in packing.groups:
        for start in range(first, first + count * length, length):
            assert len(set(view[start : start + length].tolist())) == 1


def test_packing_without_need_reorders_nothing():
    assert pack_by_length([4, 4, 7]).order is None
    assert pack_by_length([4, 7, 4]).order is not None


def plain_regions(grids, ratios):
    """Region of every token, in order, as lists of patch numbers."""
    regions, first = [], 0
    for (height, width), ratio in zip(grids, ratios):
        rows, columns = REGIONS[ratio]
        for top in range(0, height, rows):
            for left in range(0, width, columns):
                cells = [(top + y, left + x) for y in range(rows) for x in range(columns)]
                regions.append([first + y * width + x for y, x in cells])
        first += height * width
    return regions


@pytest.mark.parametrize("ratios", [[1, 1], [2, 4], [8, 16], [16, 1], [4, 4]], ids=str)
def test_regions(ratios):
    grids = [[4, 8], [8, 4]]
    expected = plain_regions(grids, ratios)
    seen = {}
    for patches, tokens in region_index(grids, ratios):
        for token, region in zip(tokens.tolist(), patches.tolist(), strict=True):
            seen[token] = region
    assert [seen[token] for token in range(len(expected))] == expected


def test_a_grid_that_regions_do_not_tile_is_named():
    with pytest.raises(AlignmentError, match=r"view 1 has a grid of 3 x 4 .* 2 x 2 \(compression 4\)"):
        region_index([[4, 4], [3, 4]], [4, 4])


def test_an_unknown_ratio_is_named():
    with pytest.raises(AlignmentError, match=r"view 0 has compression 3; allowed: \[1, 2, 4, 8, 16\]"):
        region_index([[4, 4]], [3])


def test_order_of_an_image_and_of_a_video():
    grids, ratios = [[1, 2], [2, 2], [2, 4], [4, 2]], [1, 1, 4, 4]
    index, spans = span_index(grids, ratios, [2, 2], [IMAGE, VIDEO])
    n = 2 + 4 + 2 + 2  # compressed tokens
    begin, newline, separator, end = (n + mark for mark in (BEGIN, NEWLINE, SEPARATOR, END))
    image = [begin, 0, 1, newline, separator, 2, 3, newline, 4, 5, newline, end]
    video = [begin, 6, 7, newline, separator, 8, newline, 9, newline, separator, end]
    assert index.tolist() == image + video
    assert spans == [len(image), len(video)]


@pytest.mark.parametrize("kind", [IMAGE, VIDEO])
def test_the_forecast_is_what_is_laid_out(kind):
    views = [View(16, 32, (4, 8), 4), View(32, 32, (8, 8), 16)]
    index, spans = span_index([list(v.grid) for v in views], [v.compression for v in views], [2], [kind])
    assert spans == [num_visual_tokens(kind, views)] == [len(index)]


def test_views_that_no_visual_claims():
    with pytest.raises(AlignmentError, match="visuals claim 3 views, but there are 2 grids"):
        span_index([[1, 1], [1, 1]], [1, 1], [3], [IMAGE])


def test_unknown_kind():
    with pytest.raises(AlignmentError, match="visual 1 has kind 7"):
        span_index([[1, 1], [1, 1]], [1, 1], [1, 1], [IMAGE, 7])
