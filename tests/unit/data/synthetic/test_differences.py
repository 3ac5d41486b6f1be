"""The skills on differences: the one sentence says what the pixels show."""

import re

import numpy as np
import pytest

from oryx.data.synthetic import SKILLS, make_source
from oryx.data.synthetic.differences import CHANGES, SAME, Look, describe_difference
from oryx.errors import ConfigError

USUAL = Look("red", "circle", "center", "small")


@pytest.mark.parametrize(
    ("other", "answer"),
    [
        (USUAL, "They are the same."),
        (Look("blue", "circle", "center", "small"), "The circle is red, then blue."),
        (Look("red", "star", "center", "small"), "The red object is a circle, then a star."),
        (
            Look("red", "circle", "top left", "small"),
            "The red circle is at the center, then at the top left.",
        ),
        (Look("red", "circle", "center", "large"), "The red circle is small, then large."),
    ],
)
def test_each_change_has_its_sentence(other, answer):
    assert describe_difference(USUAL, other) == answer


def seen(image, ink):
    """(colour, place, height of the ink) of a picture with one plain object."""
    color, (top, left, bottom, right) = ink(image)
    y, x = (top + bottom) / 2 / image.height, (left + right) / 2 / image.width
    if 0.4 < y < 0.6 and 0.4 < x < 0.6:
        return color, "center", bottom - top
    return color, f"{'top' if y < 0.5 else 'bottom'} {'left' if x < 0.5 else 'right'}", bottom - top


def check(first, second, answer):
    """The sentence against what is seen; gives the kind of change."""
    (color, place, size), (color2, place2, size2) = first, second
    if color != color2:
        assert re.fullmatch(rf"The \w+ is {color}, then {color2}\.", answer)
        return "color"
    if place != place2:
        assert re.fullmatch(rf"The {color} \w+ is at the {place}, then at the {place2}\.", answer)
        return "place"
    if abs(size - size2) > 3:
        sizes = ("small", "large") if size < size2 else ("large", "small")
        assert re.fullmatch(rf"The {color} \w+ is {sizes[0]}, then {sizes[1]}\.", answer)
        return "size"
    if answer == SAME:
        return "nothing"
    shapes = re.fullmatch(rf"The {color} object is an? (\w+), then an? (\w+)\.", answer)
    assert shapes[1] != shapes[2]
    return "shape"


def test_frames_differ_as_the_sentence_says(plain, turns, ink):
    settings = {**plain, "shapes": ["circle", "square"], "canvas": [48, 64], "turns": 5, "counted": 0}
    source = make_source({"frame_difference": {**settings, "num_frames": [2, 12]}}, seed=0)
    kinds = []
    for index in range(80):
        sample = source[index]
        frames = [seen(frame, ink) for frame in sample.visuals[0]["video"]]
        for question, answer in turns(sample):
            first, second = (int(n) for n in re.findall(r"\d+", question))
            assert question == f"How do frames {first} and {second} differ?"
            assert first < second
            kinds.append(check(frames[first], frames[second], answer))
    assert min(kinds.count(change) for change in CHANGES) > 0.1 * len(kinds)


def test_frames_are_small_and_pictures_need_not_be():
    frames, pictures = (SKILLS[skill][0]() for skill in ("frame_difference", "picture_difference"))
    assert (frames.compression, frames.canvas, frames.drift) == ((4,), (32, 48), 1)
    assert (pictures.compression, pictures.canvas) == ((1,), (32, 80))


def test_two_frames_alone_show_every_change_as_often():
    source = make_source({"frame_difference": {"num_frames": 2}}, seed=1)
    same = sum(source[index].conversations[1]["value"] == SAME for index in range(300))
    assert 0.12 < same / 300 < 0.28


def test_pictures_differ_as_the_sentence_says(plain, turns, ink):
    settings = {**plain, "shapes": ["circle", "square"], "canvas": [48, 64]}
    source = make_source({"picture_difference": settings}, seed=2)
    kinds = set()
    for index in range(100):
        sample = source[index]
        assert [visual["type"] for visual in sample.visuals] == ["image", "image"]
        assert sample.conversations[0]["value"].startswith("<image>\n<image>\n")
        first, second = (visual["image"] for visual in sample.visuals)
        ((question, answer),) = turns(sample)
        assert question == "How do the two pictures differ?"
        kinds.add(check(seen(first, ink), seen(second, ink), answer))
        if answer == SAME:
            assert np.array_equal(np.asarray(first), np.asarray(second))
        for visual in sample.visuals:
            color = ink(visual["image"])[0]
            said = {mark.text.strip() for mark in visual["marks"]}
            assert said - {"."}
            assert not said & (set(plain["colors"]) - {color})
    assert kinds == set(CHANGES)


def test_only_the_changes_asked_for():
    skills = {"frame_difference": {"changes": ["size", "nothing"], "turns": 9}}
    source = make_source({**skills, "picture_difference": {"changes": ["size"]}}, seed=3)
    for index in range(40):
        sample = source[index]
        answers = {turn["value"] for turn in sample.conversations[1::2]}
        sizes = {
            answer
            for answer in answers
            if answer.endswith((" is small, then large.", " is large, then small."))
        }
        assert answers - sizes <= ({SAME} if sample.skill == "frame_difference" else set())


@pytest.mark.parametrize("skill", ["frame_difference", "picture_difference"])
def test_small_and_large_must_not_be_one_size(skill):
    make_source({skill: {"canvas": [32, 48], "min_object": 11}}, seed=0)
    make_source({skill: {"canvas": [32, 48], "min_object": 12, "changes": ["color"]}}, seed=0)
    with pytest.raises(ConfigError, match=r"'min_object' is 12; for a change of size it must be at most 11"):
        make_source({skill: {"canvas": [32, 48], "min_object": 12}}, seed=0)
    with pytest.raises(ConfigError, match="at most 8"):
        make_source({skill: {"canvas": [24, 48]}}, seed=0)
