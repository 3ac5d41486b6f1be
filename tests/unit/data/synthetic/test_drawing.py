"""Colours, shapes and backgrounds."""

import itertools
import random

import numpy as np
import pytest

from oryx.data.synthetic.drawing import (
    COLORS,
    NUM_VARIANTS,
    SHAPES,
    color_distance,
    draw_background,
    draw_color,
    shape_mask,
)


def test_tones_of_one_name_are_nearer_to_it_than_to_any_other():
    rng = random.Random(0)
    for name in COLORS:
        for _ in range(50):
            rgb = draw_color(rng, name, varied=True)
            nearest = min(COLORS, key=lambda other: min(color_distance(rgb, tone) for tone in COLORS[other]))
            assert nearest == name
    assert draw_color(rng, "red", varied=False) == (255, 0, 0)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [8, 31, 100])
def test_masks_fill_their_box_and_points_are_ink(shape, size):
    for variant in range(NUM_VARIANTS):
        mask, points = shape_mask(shape, size, variant)
        ink = np.asarray(mask)
        assert ink.shape == (size, size)
        rows, columns = np.nonzero(ink.max(axis=1) > 60)[0], np.nonzero(ink.max(axis=0) > 60)[0]
        assert max(np.ptp(rows), np.ptp(columns)) >= size - 3
        assert points
        assert all(ink[int(y), int(x)] >= 128 for y, x in points)


def test_shapes_differ_at_the_smallest_size():
    masks = {shape: np.asarray(shape_mask(shape, 10)[0]).astype(int) for shape in SHAPES}
    for one, other in itertools.combinations(SHAPES, 2):
        assert np.abs(masks[one] - masks[other]).mean() > 15, (one, other)


@pytest.mark.parametrize("kind", ["white", "plain", "varied"])
def test_backgrounds_have_the_size_and_tell_what_stands_out(kind):
    rng = random.Random(3)
    textures = set()
    for _ in range(60):
        background = draw_background(rng, kind)
        textures.add(background.texture)
        pixels = np.asarray(background.paint(rng, 20, 300))
        assert pixels.shape == (20, 300, 3)
        low = np.minimum(background.first, background.second)
        high = np.maximum(background.first, background.second)
        assert (pixels >= low).all()
        assert (pixels <= high).all()
        assert not background.contrasts(background.first)
    assert textures == ({"flat", "gradient", "noise", "clouds", "stripes"} if kind == "varied" else {"flat"})
