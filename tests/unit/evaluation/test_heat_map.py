"""Squares have the colors of their shares, and numbers in them."""

import numpy as np
import pytest

from oryx.evaluation.heat_map import HeatMap, color_of, draw_heat_maps


def test_colors_go_from_dark_to_light():
    brightness = [sum(color_of(share / 20)) for share in range(21)]
    assert brightness == sorted(brightness)
    assert color_of(0.0) == (68, 1, 84)
    assert color_of(1.0) == (253, 231, 37)
    assert color_of(1.5) == color_of(1.0)


@pytest.mark.parametrize("number", [1, 2])
def test_every_square_is_there(number):
    shares = np.array([[0.0, 1.0, 0.5], [0.25, 0.75, 1.0]])
    maps = [HeatMap(f"model {index}", "a note", shares) for index in range(number)]
    image = draw_heat_maps(maps, ["0%", "100%"], ["100", "400", "1,600"], "depth", "frames")
    counts = {color: count for count, color in image.getcolors(image.width * image.height)}
    one = draw_heat_maps(maps[:1], ["0%", "100%"], ["100", "400", "1,600"], "depth", "frames")
    # The legend has thin lines of the same colors; a square is most of 58 x 30 pixels.
    for share, squares in ((0.0, 1), (0.25, 1), (0.5, 1), (0.75, 1), (1.0, 2)):
        assert counts[color_of(share)] > number * squares * 1200
    assert image.width > (number - 1) * (one.width - 100)


def test_long_names_and_many_rows_fit():
    shares = np.zeros((30, 1))
    rows = [f"{row}%" for row in range(30)]
    image = draw_heat_maps([HeatMap("m" * 200, "n" * 400, shares)], rows, ["9"], "depth", "frames")
    assert image.height > 30 * 30
    assert image.width < 600
