"""The skill `words`: the right answer, marks on the ink, readable contrast."""

import numpy as np
import pytest

from oryx.data.synthetic import make_source
from oryx.data.synthetic.questions import WORDINGS

PLAIN = {"fonts": ["default"], "colors": "plain", "background": "flat"}
VARIED = {"fonts": ["default"], "canvas_extra": [0, 40], "rotation": 20}


def one(settings, index=0, seed=0):
    sample = make_source({"words": settings}, seed)[index]
    (visual,) = sample.visuals
    human, assistant = sample.conversations
    return visual, human["value"], assistant["value"]


def test_asks_and_answers_with_the_bare_word():
    seen = set()
    for index in range(60):
        visual, question, answer = one(PLAIN, index)
        assert (visual["type"], visual["compression"], visual["detail"]) == ("image", 1, "high")
        assert question.startswith("<image>\n")
        seen.add(question.removeprefix("<image>\n"))
        assert 3 <= len(answer) <= 6
        assert answer.islower()
    assert seen == set(WORDINGS["words"])
    assert one({**PLAIN, "wordings": "first"}, 3)[1] == "<image>\nWhat does the text say?"


@pytest.mark.parametrize("rotation", [0.0, 30.0])
def test_letter_marks_lie_on_their_letters(rotation):
    # Without hinting's rounding a letter is within a fifth of an em of where its mark says.
    settings = {**PLAIN, "rotation": rotation, "font_size": 40, "letters": 4, "canvas_extra": 50}
    for index in range(20):
        visual, _, answer = one(settings, index)
        letters = [mark for mark in visual["marks"] if mark.text != "."]
        assert "".join(mark.text for mark in letters) == answer
        assert visual["marks"][: len(letters)] == letters
        ink = np.asarray(visual["image"].convert("L")) < 128
        height, width = ink.shape
        for mark in letters:
            y, x = int(mark.y * height), int(mark.x * width)
            assert ink[max(0, y - 14) : y + 14, max(0, x - 8) : x + 8].any()
        if not rotation:
            assert [mark.x for mark in letters] == sorted(mark.x for mark in letters)


def test_background_marks_keep_off_the_letters():
    for index in range(20):
        visual, _, _ = one({**VARIED, "font_size": 20}, index)
        height, width = visual["image"].height, visual["image"].width
        marks = visual["marks"]
        assert all(mark.view == 0 and 0 <= mark.y < 1 and 0 <= mark.x < 1 for mark in marks)
        for dot in (mark for mark in marks if mark.text == "."):
            for letter in (mark for mark in marks if mark.text != "."):
                distance = np.hypot((dot.y - letter.y) * height, (dot.x - letter.x) * width)
                assert distance >= 0.6 * 20 - 1e-6


def test_text_stands_out_and_keeps_its_margin():
    for index in range(40):
        visual, _, _ = one({**VARIED, "rotation": 0.0, "margin": 5, "marks": False}, index)
        assert "marks" not in visual
        light = np.asarray(visual["image"].convert("L")).astype(int)
        inner, border = light[5:-5, 5:-5], np.concatenate([light[:5].ravel(), light[-5:].ravel()])
        # Ink differs from all paper by more than 100 of 255; antialiasing takes some of it from thin strokes.
        assert max(border.min() - inner.min(), inner.max() - border.max()) > 60


def test_plain_is_black_on_white():
    visual, _, _ = one(PLAIN)
    pixels = np.asarray(visual["image"]).reshape(-1, 3)
    assert (pixels == pixels[:, :1]).all()
    assert {0, 255} <= set(pixels[:, 0].tolist())
