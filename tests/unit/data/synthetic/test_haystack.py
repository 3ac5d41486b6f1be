"""Haystacks hold nothing that a needle shows, look like one video, and are drawn fast."""

import random
import time

import numpy as np
import pytest

from oryx.data.synthetic.drawing import COLORS, SHAPES, shape_mask
from oryx.data.synthetic.haystack import (
    Haystack,
    draw_haystack_frame,
    draw_needle,
    draw_needle_frame,
    is_muted,
)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (48, 40), (96, 64)])
def test_a_haystack_is_muted_everywhere(height, width):
    haystack = Haystack(height, height, width)
    for index in range(0, 600, 7):
        frame = haystack.frame(index)
        assert (frame.mode, frame.size) == ("RGB", (width, height))
        assert is_muted(np.asarray(frame)).all()


@pytest.mark.parametrize("color", COLORS)
def test_no_ink_of_a_needle_is_muted(color):
    rng = random.Random(color)
    for _ in range(40):
        shape = rng.choice(SHAPES)
        image, thing = draw_needle_frame(rng, color, shape, 32, 40)
        mask, _ = shape_mask(thing.shape, thing.size, thing.variant)
        top, left = thing.corner
        assert 0 <= top <= 32 - thing.size
        assert 0 <= left <= 40 - thing.size
        box = np.asarray(image)[top : top + thing.size, left : left + thing.size]
        ink = box[np.asarray(mask) == 255]
        assert len(ink) > 10
        assert not is_muted(ink).any()
        assert (ink == thing.rgb).all()


def test_neighbours_look_alike_and_scenes_change():
    haystack = Haystack(5, 32, 32)
    frames = np.stack([np.asarray(haystack.frame(index)) for index in range(240)]).astype(int)
    steps = np.abs(np.diff(frames, axis=0)).mean(axis=(1, 2, 3))
    apart = np.abs(frames[:120] - frames[120:]).mean(axis=(1, 2, 3))
    assert (steps > 0).all()  # no two frames are the same
    assert np.median(steps) < 0.5 * np.median(apart)
    assert 3 <= (steps > 3 * np.median(steps)).sum() <= 20  # the cuts


def test_frames_depend_on_the_state_and_the_index_alone():
    rng = random.Random(9)
    state = rng.getstate()
    forwards = [draw_haystack_frame(rng, index, 32, 32).tobytes() for index in range(80)]
    assert rng.getstate() == state
    for index in (79, 3, 40):
        assert draw_haystack_frame(random.Random(9), index, 32, 32).tobytes() == forwards[index]
    rng.random()
    assert draw_haystack_frame(rng, 3, 32, 32).tobytes() != forwards[3]


def test_a_needle_comes_with_a_question_that_its_own_names_answer():
    rng = random.Random(1)
    seen = set()
    for _ in range(400):
        image, question, answer = draw_needle(rng, 32, 48)
        assert image.size == (48, 32)
        words = set(question.rstrip("?").split())
        said = answer.split()
        if len(said) == 2:
            assert (said[0] in COLORS, said[1] in SHAPES) == (True, True)
        else:  # the question names the one, the answer is the other
            asked, other = (COLORS, SHAPES) if answer in SHAPES else (SHAPES, COLORS)
            assert answer in other
            assert len(words & set(asked)) == 1
        seen.add(answer)
    assert {*COLORS, *SHAPES} <= seen


def test_1600_frames_take_less_than_a_second():
    rng = random.Random(0)
    started = time.process_time()
    for index in range(1600):
        draw_haystack_frame(rng, index, 32, 32)
    assert time.process_time() - started < 1.0
