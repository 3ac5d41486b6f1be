"""Needles by number, from a file too; depths and lengths as they are written."""

import json

import numpy as np
import pytest
from PIL import Image

from oryx.data.builders.haystack.needles import (
    drawn_needles,
    needle_index,
    parse_depths,
    parse_lengths,
    read_needles,
)
from oryx.data.builders.haystack.sources import open_haystack
from oryx.errors import ConfigError, MediaError


@pytest.fixture
def file(tmp_path):
    def make(*entries):
        for number, color in enumerate(("red", "green", "blue")):
            Image.new("RGB", (40, 20), color).save(tmp_path / f"{number}.png")
        path = tmp_path / "needles.jsonl"
        lines = [entry if isinstance(entry, str) else json.dumps(entry) for entry in entries]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return make


def entry(number, **changes):
    return {"image": f"{number}.png", "question": f"Which is {number}?", "answer": str(number), **changes}


def test_drawn_needles_are_the_seeds(stand_in):
    first, again, other = (drawn_needles(seed, 32, 48) for seed in (0, 0, 1))
    drawn = [first(number) for number in range(30)]
    assert [needle.answer for needle in drawn] == [again(number).answer for number in range(30)]
    assert [needle.answer for needle in drawn] != [other(number).answer for number in range(30)]
    assert {needle.image.size for needle in drawn} == {(48, 32)}


def test_needles_of_a_file_come_in_an_order_of_the_seed_and_again(file):
    needles = read_needles(file(entry(0), "", entry(1), entry(2)), 0, 30, 30)
    answers = [needles(number).answer for number in range(6)]
    assert sorted(answers[:3]) == ["0", "1", "2"]
    assert answers[3:] == answers[:3]
    orders = {
        tuple(read_needles(file(entry(0), entry(1), entry(2)), seed, 30, 30)(n).answer for n in range(3))
        for seed in range(10)
    }
    assert len(orders) > 1


def test_a_picture_is_fitted_without_being_stretched(file):
    needle = read_needles(file(entry(0)), 0, 40, 40)(0)
    pixels = np.asarray(needle.image)
    assert pixels.shape == (40, 40, 3)
    assert (pixels[0] == 0).all()  # black above
    assert tuple(pixels[20, 20]) == (255, 0, 0)


@pytest.mark.parametrize(
    ("lines", "error", "sentence"),
    [
        ([], ConfigError, "hold no line"),
        (["not json"], ConfigError, "line 1 must be an object"),
        ([entry(0), entry(1, answer=" ")], ConfigError, "line 2 must be an object"),
        ([entry(0, question=3)], ConfigError, "line 1 must be an object"),
        ([entry(7)], MediaError, "line 1: .*7.png"),
    ],
)
def test_files_that_cannot_be(file, lines, error, sentence):
    with pytest.raises(error, match=sentence):
        read_needles(file(*lines), 0, 32, 32)


def test_a_line_ends_where_the_file_says(file):
    """And not at other characters that stand for a new line."""
    lines = [json.dumps(entry(k, answer=f"{k}\u2028\x85on"), ensure_ascii=False) for k in range(2)]
    needles = read_needles(file(*lines), 0, 32, 32)
    assert {needles(number).answer for number in range(2)} == {"0\u2028\x85on", "1\u2028\x85on"}


@pytest.mark.parametrize("key", ["image", "question", "answer"])
def test_half_a_character_is_refused(file, key):
    with pytest.raises(ConfigError, match="line 2 holds half a character"):
        read_needles(file(entry(0), entry(1, **{key: "half \ud83d"})), 0, 32, 32)


def test_a_file_that_is_missing(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_needles(tmp_path / "no.jsonl", 0, 32, 32)


def test_depths():
    assert parse_depths("5") == (0.0, 25.0, 50.0, 75.0, 100.0)
    assert parse_depths("1") == (0.0,)
    assert parse_depths("100, 0, 33.3") == (0.0, 33.3, 100.0)
    assert parse_depths("50%") == (50.0,)
    assert parse_depths(" 0%, 33.3, 100 %") == (0.0, 33.3, 100.0)
    for text in ("0", "many", "0,101", "-1,5", "50,50", "1001", "101%", "%", "50%%"):
        with pytest.raises(ConfigError):
            parse_depths(text)


def test_lengths():
    assert parse_lengths("400,100,400") == (100, 400)
    for text in ("1,5", "x", ""):
        with pytest.raises(ConfigError):
            parse_lengths(text)


@pytest.mark.parametrize(("depth", "index"), [(0, 0), (100, 9), (50, 4), (25, 2), (99, 9)])
def test_where_the_needle_is(depth, index):
    assert needle_index(depth, 10) == index


@pytest.mark.parametrize("size", [(32, 32), (32, 48)])
def test_no_drawn_haystack_shows_what_a_needle_does(size):
    """The real pictures: all colors of a haystack are muted, and every needle has many that are not."""
    from oryx.data.synthetic.haystack import is_muted

    frames = list(open_haystack("drawn", 0, *size).frames(300))
    assert all(is_muted(np.asarray(frame)).all() for frame in frames)
    needles = drawn_needles(0, *size)
    for number in range(50):
        assert (~is_muted(np.asarray(needles(number).image))).mean() > 0.05
