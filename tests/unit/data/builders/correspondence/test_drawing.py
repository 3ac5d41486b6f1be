"""Dots with digits: where they are, that they can be told apart, and what is refused."""

import itertools

import numpy as np
import pytest
from PIL import Image

from oryx.data.builders.correspondence.drawing import (
    MarkStyle,
    contact_sheet,
    default_size,
    draw_marks,
)
from oryx.errors import ConfigError

GREY = (120, 120, 120)


def _view(height: int = 60, width: int = 80) -> Image.Image:
    return Image.new("RGB", (width, height), GREY)


def _changed(view: Image.Image) -> np.ndarray:
    """(H, W) bool: pixels that are no longer grey."""
    return (np.asarray(view) != np.array(GREY)).any(-1)


def test_a_dot_lies_on_its_center_and_the_view_is_left_alone() -> None:
    view = _view()
    (drawn,) = draw_marks([view], {"a": {0: (20, 50)}}, {"a": 3}, size=15)
    ys, xs = np.nonzero(_changed(drawn))
    assert abs(ys.mean() - 19.5) < 0.6
    assert abs(xs.mean() - 49.5) < 0.6
    assert (int(np.ptp(ys)) + 1, int(np.ptp(xs)) + 1) == (15, 15)
    assert not _changed(view).any()


def test_every_dot_has_the_same_size_in_every_view() -> None:
    views = [_view(60, 80), _view(90, 50)]
    centers = {1: {0: (30.0, 20.0), 1: (45.0, 25.0)}, 2: {0: (30.0, 60.0)}}
    first, second = draw_marks(views, centers, {1: 1, 2: 2}, size=20)
    ones = np.asarray(first.crop((10, 20, 30, 40))), np.asarray(second.crop((15, 35, 35, 55)))
    assert np.array_equal(*ones)
    assert _changed(first)[:, :40].sum() == _changed(first)[:, 40:].sum()


def test_near_the_border_a_dot_stays_whole() -> None:
    (drawn,) = draw_marks([_view()], {0: {0: (0, 80)}}, {0: 7}, size=13)
    ys, xs = np.nonzero(_changed(drawn))
    assert (ys.min(), ys.max(), xs.min(), xs.max()) == (0, 12, 67, 79)


@pytest.mark.parametrize("size", [9, 13, 22])
def test_digits_can_be_told_apart(size: int) -> None:
    """Two dots of unlike digits differ in a good part of their digit's pixels, at the smallest size too."""
    dots = [np.asarray(_one(number, size)).astype(int) for number in range(10)]
    least = min(np.abs(a - b).max(-1).sum() / 255 for a, b in itertools.combinations(dots, 2))
    assert least > 0.025 * size * size


@pytest.mark.parametrize("size", [13, 16, 22, 40])
def test_small_digits_read_as_the_large_ones(size: int) -> None:
    """Shrunk from a large drawing, a dot is nearest to the same digit drawn small."""
    small = [np.asarray(_one(number, size)).astype(float) for number in range(10)]
    for number in range(10):
        large = _one(number, 80).resize((size, size), Image.Resampling.BOX)
        errors = [np.square(np.asarray(large) - dot).mean() for dot in small]
        assert int(np.argmin(errors)) == number


def _one(number: int, size: int) -> Image.Image:
    view = Image.new("RGB", (size, size), GREY)
    return draw_marks([view], {0: {0: (size / 2, size / 2)}}, {0: number}, size=size)[0]


def test_the_smaller_number_lies_on_top() -> None:
    both = draw_marks([_view()], {"a": {0: (30, 40)}, "b": {0: (30, 40)}}, {"a": 2, "b": 1}, size=15)
    only = draw_marks([_view()], {"b": {0: (30, 40)}}, {"b": 1}, size=15)
    inner = (37, 27, 43, 33)
    assert np.array_equal(*(np.asarray(drawn[0].crop(inner)) for drawn in (both, only)))


def test_objects_without_a_number_and_numbers_that_are_not_seen_draw_nothing() -> None:
    (drawn,) = draw_marks([_view()], {"a": {0: (30, 40)}}, {"b": 1})
    assert not _changed(drawn).any()
    assert draw_marks([], {}, {"b": 1}) == []


def test_colors_are_a_setting() -> None:
    style = MarkStyle(fill=(0, 0, 255), digit=(0, 0, 0), edge=(0, 255, 0))
    (drawn,) = draw_marks([_view()], {0: {0: (30, 40)}}, {0: 1}, size=32, style=style)
    colors = {color for _, color in drawn.getcolors(10_000)}
    assert {(0, 0, 255), (0, 0, 0), (0, 255, 0)} <= colors


def test_the_default_size_follows_the_smallest_view() -> None:
    assert default_size([_view(480, 640), _view(640, 320)]) == 20
    assert default_size([_view(60, 80)]) == 15
    (drawn,) = draw_marks([_view(480, 640)], {0: {0: (240, 320)}}, {0: 1})
    assert int(np.ptp(np.nonzero(_changed(drawn))[0])) + 1 == 30


@pytest.mark.parametrize(
    ("centers", "numbers", "size", "sentence"),
    [
        ({0: {0: (30, 40)}}, {0: 1}, 8, "at least 9 pixels"),
        ({0: {0: (30, 40)}}, {0: 1, 1: 10}, 12, "at least 13 pixels"),
        ({0: {0: (30, 40)}}, {0: 100}, None, "0 to 99"),
        ({0: {0: (30, 40)}}, {0: -1}, None, "0 to 99"),
        ({0: {1: (30, 40)}}, {0: 1}, None, "view 1; there are 1"),
        ({0: {0: (61, 40)}}, {0: 1}, None, "outside of 60 x 80"),
    ],
)
def test_what_cannot_be_drawn(centers: dict, numbers: dict, size: int | None, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        draw_marks([_view()], centers, numbers, size=size)


def test_a_contact_sheet_shows_all_views_in_rows() -> None:
    colors = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    views = [Image.new("RGB", (40, 30 + 10 * i), color) for i, color in enumerate(colors)]
    sheet = contact_sheet(views, columns=2, width=20, gap=4)
    assert sheet.size == (2 * 20 + 3 * 4, 20 + 25 + 3 * 4)
    assert [sheet.getpixel(point) for point in ((5, 5), (30, 5), (5, 30))] == colors
    assert contact_sheet(views[:1], width=20, gap=0).size == (20, 15)
