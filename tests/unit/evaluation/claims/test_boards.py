"""Boards and films show what their answers say, where their marks say it."""

import random

import numpy as np
import pytest
from PIL import Image

from oryx.data.synthetic.drawing import COLORS
from oryx.data.synthetic.source import Source
from oryx.evaluation.claims.boards import (
    CHANCE,
    COLOR,
    FORMS,
    INKS,
    LETTER,
    LETTERS,
    SHAPE,
    TASKS,
    Boards,
    BoardSettings,
    Films,
    FilmSettings,
    draw_board,
    paint,
)


def boards(number, settings=None):
    rng = random.Random(3)
    return [draw_board(rng, settings or BoardSettings()) for _ in range(number)]


def ink_boxes(image, paper):
    """Pixels that are not paper, as (rows, columns)."""
    return np.nonzero((np.asarray(image) != np.array(paper)).any(-1))


def test_letter_and_object_lie_in_the_board_and_apart():
    for board in boards(300):
        letter = ink_boxes(paint(board, with_object=False), board.paper)
        thing = ink_boxes(paint(board, with_letter=False), board.paper)
        assert len(letter[0]) > 5
        assert len(thing[0]) > 30
        for (ys, xs), (top, left, height, width) in (
            (letter, board.letter_box),
            (thing, board.object_box),
        ):
            assert 0 <= top <= ys.min() <= ys.max() < top + height <= board.height
            assert 0 <= left <= xs.min() <= xs.max() < left + width <= board.width
        assert not set(zip(*letter, strict=True)) & set(zip(*thing, strict=True))


def test_sizes_vary_as_the_settings_say():
    sizes = [(board.height, board.width) for board in boards(400)]
    areas = [height * width for height, width in sizes]
    assert 1500 < min(areas) < 1800
    assert 7500 < max(areas) < 8300
    aspects = [height / width for height, width in sizes]
    assert 0.22 < min(aspects) < 0.35
    assert 2.9 < max(aspects) < 4.4


def test_answers_are_what_is_seen_and_each_task_is_asked_once():
    source = Source({"board": (1.0, Boards())}, 1)
    orders = set()
    for index in range(30):
        sample = source[index]
        turns = [turn["value"] for turn in sample.conversations]
        assert turns[0].startswith("<image>\n")
        answers = [answer.strip() for answer in turns[1::2]]
        kinds = [0 if a in LETTERS else 1 if a in INKS else 2 if a in FORMS else None for a in answers]
        assert sorted(kinds) == [0, 1, 2]
        orders.add(tuple(kinds))
        colors = {tuple(pixel) for pixel in np.asarray(sample.visuals[0]["image"]).reshape(-1, 3)}
        assert COLORS[answers[kinds.index(1)]][0] in colors
    assert len(orders) == 6


def test_marks_stand_on_what_they_name():
    source = Source({"board": (1.0, Boards())}, 2)
    for index in range(40):
        sample = source[index]
        image: Image.Image = sample.visuals[0]["image"]
        answers = {turn["value"].strip() for turn in sample.conversations[1::2]}
        told = [mark.text.strip() for mark in sample.visuals[0]["marks"]]
        assert set(told) - {"."} <= answers
        assert {text for text in told if text in LETTERS}
        for mark in sample.visuals[0]["marks"]:
            pixel = image.getpixel((int(mark.x * image.width), int(mark.y * image.height)))
            color = next(answer for answer in answers if answer in INKS)
            if mark.text.strip() in INKS:
                assert pixel == COLORS[color][0]
            if mark.text == ".":
                assert pixel[0] == pixel[1] == pixel[2] >= 208


def test_one_question_alone_and_no_marks_for_tests():
    sample = Source({"board": (1.0, Boards(BoardSettings(tasks=(COLOR,)), marks=False))}, 4)[0]
    assert len(sample.conversations) == 2
    assert sample.conversations[1]["value"].strip() in INKS
    assert sample.visuals[0]["marks"] == []


def test_chance_is_one_over_the_answers():
    assert pytest.approx({LETTER: 1 / 16, COLOR: 1 / 5, SHAPE: 1 / 4}) == CHANCE
    assert set(TASKS) == set(CHANCE)


def test_the_object_of_a_film_is_there_for_a_moment_and_the_letter_always():
    source = Source({"film": (1.0, Films(FilmSettings(num_frames=12, moment=3)))}, 7)
    starts = set()
    for index in range(20):
        sample = source[index]
        frames = sample.visuals[0]["video"]
        assert {frame.size for frame in frames} == {(64, 32)}
        color = COLORS[
            next(t["value"].strip() for t in sample.conversations[1::2] if t["value"].strip() in INKS)
        ][0]
        shown = [color in {tuple(p) for p in np.asarray(frame).reshape(-1, 3)} for frame in frames]
        assert sum(shown) == 3
        start = shown.index(True)
        assert all(shown[start : start + 3])
        starts.add(start)
        assert all((np.asarray(frame) < 100).all(-1).any() for frame in frames)
        views = {mark.view for mark in sample.visuals[0]["marks"] if mark.text.strip() in (*INKS, *FORMS)}
        assert views == {start, start + 1, start + 2}
    assert len(starts) > 5
