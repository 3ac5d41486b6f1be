"""Ways to look: sizes, budgets, and marks that stay on what they name."""

import numpy as np
import pytest
from PIL import Image

from oryx.data.marks import Mark
from oryx.data.synthetic.source import Source
from oryx.evaluation.claims.boards import Boards, Films
from oryx.evaluation.claims.views import (
    PATCH,
    FilmViews,
    Looked,
    PictureViews,
    choose_frames,
    choose_grid,
    encode_picture,
    encoded_in,
)
from oryx.processing.geometry import IMAGE, VIDEO

RED, GREY = (255, 0, 0), (128, 128, 128)


def picture(height, width, spot):
    """Grey, with a red square of 9 pixels around (y, x); and a mark on it."""
    image = Image.new("RGB", (width, height), GREY)
    y, x = spot
    image.paste(RED, (x - 4, y - 4, x + 5, y + 5))
    return image, [Mark(0, (y + 0.5) / height, (x + 0.5) / width, " red")]


def pixel_at(encoded, mark):
    """RGB of the view at a mark."""
    first = sum(view.num_patches for view in encoded.views[: mark.view])
    view = encoded.views[mark.view]
    rows, columns = view.grid
    patches = encoded.patches[first : first + view.num_patches].reshape(rows, columns, 3, PATCH, PATCH)
    image = patches.transpose(0, 3, 1, 4, 2).reshape(view.height, view.width, 3)
    return image[int(mark.y * view.height), int(mark.x * view.width)]


@pytest.mark.parametrize("way", ["native", "square", "aspect", "tiled"])
@pytest.mark.parametrize("spot", [(6, 6), (20, 100), (30, 70), (41, 119)])
def test_marks_stay_on_what_they_name(way, spot):
    image, marks = picture(48, 128, spot)
    encoded = encode_picture(image, marks, PictureViews(way=way))
    (mark,) = encoded.marks
    red, green, blue = map(int, pixel_at(encoded, mark))
    assert red > 180 > 110 > max(green, blue)


def test_native_keeps_the_size_to_half_a_patch_and_the_others_do_not():
    image, marks = picture(45, 131, (20, 60))

    def size(way):
        (view,) = encode_picture(image, marks, PictureViews(way=way)).views
        return view.height, view.width

    assert size("native") == (48, 128)
    assert size("square") == (64, 64)
    height, width = size("aspect")
    assert (height, width) == (40, 112)


def test_a_picture_whose_sides_fit_is_not_resampled():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 64, 3), dtype=np.uint8))
    encoded = encode_picture(image, [], PictureViews())
    assert (encoded.kind, encoded.views[0].grid) == (IMAGE, (5, 8))
    rebuilt = encoded.patches.reshape(5, 8, 3, 8, 8).transpose(0, 3, 1, 4, 2).reshape(40, 64, 3)
    assert (rebuilt == np.asarray(image)).all()


def test_tiles_are_the_picture_cut_up_after_a_small_one():
    image, marks = picture(64, 96, (50, 80))
    encoded = encode_picture(image, marks, PictureViews(way="tiled"))
    assert encoded.kind == VIDEO
    assert {(view.height, view.width) for view in encoded.views} == {(32, 32)}
    rows, columns = choose_grid(64, 96, 32, 64 * 96 / 32**2 - 1)
    assert len(encoded.views) == 1 + rows * columns
    assert (rows, columns) == (2, 2)  # five tiles' pixels are there, which 2 x 2 fits best
    assert encoded.marks[0].view == 4  # the one at the bottom right


@pytest.mark.parametrize(
    ("height", "width", "tiles", "grid"), [(32, 128, 4, (1, 4)), (128, 32, 4, (4, 1)), (40, 40, 1, (1, 1))]
)
def test_grids_follow_the_shape(height, width, tiles, grid):
    assert choose_grid(height, width, 32, tiles) == grid


def test_the_four_ways_cost_the_same_pixels():
    source = Source({"board": (1.0, Boards())}, 11)
    means = {}
    for way in ("native", "square", "aspect", "tiled"):
        looked = Looked(source, PictureViews(way=way))
        means[way] = np.mean(
            [sum(v.height * v.width for v in encoded_in(looked[index]).views) for index in range(300)]
        )
    assert max(means.values()) / min(means.values()) < 1.06, means


def test_shares_of_the_pixels():
    source = Source({"board": (1.0, Boards())}, 11)

    def mean(shares):
        looked = Looked(source, PictureViews(shares=shares))
        return np.mean([encoded_in(looked[i]).views[0].num_patches for i in range(200)])

    assert mean((0.25,)) / mean((1.0,)) == pytest.approx(0.25, abs=0.03)
    assert mean((0.25,)) < mean((0.25, 1.0)) < mean((1.0,))


def test_looking_is_a_function_of_the_number():
    source = Source({"board": (1.0, Boards())}, 11)
    looked = Looked(source, PictureViews(shares=(0.25, 0.5, 1.0)))
    first, again = encoded_in(looked[5]), encoded_in(looked[5])
    assert first.views == again.views
    assert (first.patches == again.patches).all()


@pytest.mark.parametrize("ratio", [1, 2, 4, 8, 16])
def test_films_take_all_frames_that_the_tokens_afford(ratio):
    sample = Looked(Source({"film": (1.0, Films())}, 1), FilmViews(ratios=(ratio,)))[0]
    encoded = encoded_in(sample)
    one_more = encoded.views[0].num_tokens + 1
    assert encoded.num_tokens <= 76 < encoded.num_tokens + one_more
    assert len(encoded.patches) == sum(view.num_patches for view in encoded.views)
    assert {mark.view for mark in encoded.marks} == set(range(len(encoded.views)))


def test_marks_of_a_film_go_with_the_frames_that_are_looked_at():
    source = Source({"film": (1.0, Films())}, 1)
    for index in range(20):
        marks = source[index].visuals[0]["marks"]
        frames = choose_frames(36, 18)
        encoded = encoded_in(Looked(source, FilmViews(ratios=(16,)))[index])
        assert [frames[mark.view] for mark in encoded.marks] == [m.view for m in marks if m.view in frames]


def test_frames_are_spread_evenly():
    assert choose_frames(36, 2) == [9, 27]
    assert choose_frames(36, 18) == list(range(1, 36, 2))
    assert choose_frames(4, 9) == [0, 1, 2, 3]
