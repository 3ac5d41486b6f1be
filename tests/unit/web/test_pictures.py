"""What the strip shows: the views of the plan, from the right frames, with the right grid."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from oryx.media.video import open_clip
from oryx.processing.geometry import REGIONS
from oryx.processing.pixels import resize
from oryx.web import pictures as pictures_module
from oryx.web.pictures import Pictures, as_data_url, share_out
from oryx.web.render import strip_html
from oryx.web.settings import Settings


def pixels(address):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))).convert("RGB"))


def test_frames_are_those_that_are_read(plans, video):
    plan = plans.plan(video, Settings(max_frames=5))
    (tiles,) = Pictures().tiles(plan)
    clip = open_clip(video.paths[0], 5)
    assert len(tiles) == 5
    for tile, frame, time in zip(tiles, clip.frames, clip.times):
        expected = resize(frame.image, tile.view.height, tile.view.width)
        np.testing.assert_array_equal(pixels(tile.address), np.asarray(expected))
        assert tile.caption == f"0:{time:04.1f}"


def test_few_of_many_evenly(plans, video):
    plan = plans.plan(video, Settings())
    (tiles,) = Pictures().tiles(plan, most=3)
    assert [tile.caption for tile in tiles] == ["0:00.0", "0:01.2", "0:02.8"]


def test_both_views_of_a_picture(plans, scene):
    (tiles,) = Pictures().tiles(plans.plan(scene, Settings()))
    assert [tile.caption for tile in tiles] == ["native", "overview"]
    for tile in tiles:
        assert pixels(tile.address).shape[:2] == (tile.view.height, tile.view.width)
    (alone,) = Pictures().tiles(plans.plan(scene, Settings(detail="low")))
    assert [tile.caption for tile in alone] == ["overview"]


def test_all_views_of_a_scene(plans, room):
    (tiles,) = Pictures().tiles(plans.plan(room, Settings()))
    assert [tile.caption for tile in tiles] == ["view 1", "view 2", "view 3", "view 4"]


@pytest.mark.parametrize("ratio", REGIONS)
def test_the_grid_is_that_of_the_tokens(plans, video, ratio):
    plan = plans.plan(video, Settings(compression=ratio))
    html = strip_html({"A": (plan.forecast, Pictures().tiles(plan))})
    rows, columns = plan.forecast.visuals[0].views[0].token_grid
    path = re.search(r'class="grid[^>]* d="([^"]*)"', html)[1]
    assert (len(re.findall("V", path)), len(re.findall("H", path))) == (columns - 1, rows - 1)
    assert f"{rows}x{columns} tokens" in html


def test_a_focus_found_while_reading_has_no_grid(plans, video):
    plan = plans.plan(video, Settings(focus="auto"))
    (tiles,) = Pictures().tiles(plan)
    html = strip_html({"A": (plan.forecast, [tiles])})
    assert 'class="grid' not in html
    assert "ratio found while reading" in html
    spans = plans.plan(video, Settings(focus="0:01-0:02"))
    mixed = strip_html({"A": (spans.forecast, Pictures().tiles(spans))})
    assert "2x to 16x" in mixed
    assert "2x2 tokens" in mixed


def test_frames_are_decoded_once(monkeypatch, plans, video):
    pictures, calls = Pictures(), []
    read = pictures_module.read_frames

    def count(source, indices):
        calls.append(list(indices))
        return read(source, indices)

    monkeypatch.setattr(pictures_module, "read_frames", count)
    pictures.tiles(plans.plan(video, Settings(max_frames=2)))
    pictures.tiles(plans.plan(video, Settings(max_frames=2)))
    pictures.tiles(plans.plan(video, Settings(max_frames=3)))
    assert calls == [[0, 11], [5]]


def test_the_cache_is_bounded(plans, video):
    pictures = Pictures(cache_bytes=1000)
    pictures.tiles(plans.plan(video, Settings()))
    assert sum(map(len, pictures._cache.values())) <= 1000


def test_large_pictures_are_sent_small():
    noise = np.random.default_rng(0).integers(0, 256, (1000, 2000, 3), dtype=np.uint8)
    assert pixels(as_data_url(Image.fromarray(noise))).shape == (384, 768, 3)


def test_share_out():
    assert share_out([64, 2, 64], 12) == [5, 2, 5]
    assert share_out([2], 12) == [2]
    assert share_out([9, 9, 9], 2) == [1, 1, 0]
    assert share_out([], 12) == []
