"""Cuts are found, and neither a moving camera nor a still one is taken for any."""

import numpy as np
from PIL import Image

from oryx.data.builders.needle.scene_cuts import changes, find_cuts, scenes_of, thumbnail

from .conftest import draw_frame


def thumbnails_of(pictures):
    return np.stack([thumbnail(picture) for picture in pictures])


def test_a_thumbnail_is_small_rgb():
    assert thumbnail(Image.new("L", (300, 200), 7)).shape == (16, 16, 3)


def test_changes_go_from_0_to_1():
    black, white = Image.new("RGB", (20, 20)), Image.new("RGB", (20, 20), "white")
    assert changes(thumbnails_of([black, white, white])).tolist() == [1.0, 0.0]


def test_scenes_are_told_apart_while_things_move_in_them():
    lengths = (9, 14, 3, 8)
    pictures = [draw_frame(scene, number) for scene, length in enumerate(lengths) for number in range(length)]
    cuts = find_cuts(thumbnails_of(pictures))
    assert cuts == [9, 23, 26]
    assert scenes_of(cuts, 34) == [range(9), range(9, 23), range(23, 26), range(26, 34)]


def test_a_camera_that_moves_evenly_makes_no_cut():
    rng = np.random.default_rng(0)
    ground = Image.fromarray(rng.integers(0, 256, (12, 60, 3), dtype=np.uint8)).resize((600, 120))
    pictures = [ground.crop((step, 0, step + 160, 120)) for step in range(0, 400, 10)]
    assert changes(thumbnails_of(pictures)).min() > 0.05  # every frame changes as much as a cut might
    assert find_cuts(thumbnails_of(pictures)) == []


def test_few_frames():
    assert find_cuts(thumbnails_of([draw_frame(0, 0)])) == []
    assert find_cuts(thumbnails_of([draw_frame(0, 0), draw_frame(1, 0)])) == [1]
