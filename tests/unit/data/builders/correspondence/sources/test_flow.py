"""Corners and Lucas-Kanade on pictures whose movement is known."""

import numpy as np
import pytest
from PIL import Image

from oryx.data.builders.correspondence.sources import flow


def _texture(height: int = 120, width: int = 160) -> np.ndarray:
    """Smooth noise of two sizes: the coarse one is what a far movement is found by."""
    rng, layers = np.random.default_rng(0), []
    for size in (4, 20):
        noise = rng.uniform(0, 255, (height // size, width // size)).astype(np.float32)
        layers.append(Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC))
    return np.mean([np.asarray(layer) for layer in layers], axis=0)


def _moved(picture: np.ndarray, down: float, across: float) -> np.ndarray:
    """The picture moved by parts of a pixel too."""
    image = Image.fromarray(picture)
    placed = (1, 0, -across, 0, 1, -down)
    return np.asarray(image.transform(image.size, Image.Transform.AFFINE, placed, Image.Resampling.BICUBIC))


@pytest.mark.parametrize(("down", "across"), [(0.0, 0.0), (0.4, -0.7), (3.25, 1.5), (-9.0, 14.0)])
def test_points_are_followed_to_a_tenth_of_a_pixel(down: float, across: float) -> None:
    first, second = _texture(), _moved(_texture(), down, across)
    points = flow.corners(first, 60, 6)
    points = points[(points > 32).all(1) & (points < (88, 128)).all(1)]
    places, good = flow.follow(flow.pyramid(first, 4), flow.pyramid(second, 4), points, points)
    error = np.linalg.norm(places - points - (down, across), axis=1)
    assert good.mean() > 0.9
    assert np.median(error[good]) < 0.1
    assert (error[good] < 0.5).mean() > 0.9


def test_a_brighter_picture_is_no_movement() -> None:
    first = _texture()
    points = flow.corners(first, 20, 10)
    places, good = flow.follow(flow.pyramid(first, 3), flow.pyramid(first + 40, 3), points, points)
    assert good.all()
    assert np.abs(places - points).max() < 0.05


def test_a_far_movement_is_found_from_a_guess() -> None:
    first, second = _texture(), _moved(_texture(), 0, 60)
    points = np.array([(60.0, 40.0), (50.0, 50.0)])
    guess = points + np.array((2, 57))
    places, good = flow.follow(flow.pyramid(first, 2), flow.pyramid(second, 2), points, guess)
    assert good.all()
    assert np.abs(places - points - (0, 60)).max() < 0.2


def test_points_that_leave_or_lie_on_nothing_are_not_good() -> None:
    first, second = _texture(), _moved(_texture(), 0, 40)
    flat = np.full_like(first, 100)
    points = np.array([(60.0, 140.0), (60.0, 60.0)])
    _, good = flow.follow(flow.pyramid(first, 4), flow.pyramid(second, 4), points, points + np.array((0, 40)))
    assert good.tolist() == [False, True]
    _, good = flow.follow(flow.pyramid(flat, 4), flow.pyramid(flat, 4), points, points)
    assert not good.any()


def test_corners_lie_on_corners_and_apart() -> None:
    picture = np.zeros((80, 100), dtype=np.float32)
    picture[30:50, 40:70] = 255
    found = flow.corners(picture, 10, 5)
    assert {tuple(point) for point in np.round(found / 10) * 10} == {(30, 40), (30, 70), (50, 40), (50, 70)}
    many = flow.corners(_texture(), 500, 8)
    gaps = np.abs(many[:, None] - many[None]).max(-1) + 1000 * np.eye(len(many))
    assert gaps.min() > 8
    assert len(flow.corners(_texture(), 7, 8)) == 7
    beside = flow.corners(_texture(), 500, 8, taken=many[:50])
    assert np.abs(beside[:, None] - np.round(many[None, :50])).max(-1).min() > 8
    assert flow.corners(np.zeros((60, 60), dtype=np.float32), 10, 5).shape == (0, 2)


def test_points_are_matched_by_their_looks_within_reach() -> None:
    first, second = _texture(), _moved(_texture(), 4, 30)
    here = flow.corners(first, 40, 8)
    there = here + np.array((4, 30))
    mixed = np.random.default_rng(1).permutation(len(here))
    a, b = flow.match(first, second, here, there[mixed], 40)
    inside = (there[:, 1] < 150) & (there[:, 0] < 110)
    assert set(np.flatnonzero(inside)) <= set(a)
    assert (mixed[b] == a).mean() > 0.95
    a, _ = flow.match(first, second, here, there[mixed], 20)
    assert len(a) < 0.2 * len(here)
    assert len(flow.match(first, second, here, here[:0], 20)[0]) == 0
