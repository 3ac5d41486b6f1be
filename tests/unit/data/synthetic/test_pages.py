"""The skill `pages`: right answers, a mark on every letter, letters that stay legible after the resize."""

from collections import Counter

import numpy as np
import pytest

from oryx.data.synthetic import make_source
from oryx.data.synthetic.pages import PAGE_KINDS, known_words
from oryx.data.synthetic.words import word_split_of
from oryx.processing.geometry import ResizeRule, image_views

PLAIN = {"fonts": ["default"], "colors": "plain", "background": "flat", "wordings": "first"}
NANO = ResizeRule(
    patch_size=8, low_area=576, native_area=16384, image_multiple=8, icon_side=8, icon_target=16,
    video_min_area=1024, video_max_area=2304, video_multiple=16, video_multiple_16x=32,
)  # fmt: skip


def draw(settings, index=0, seed=0):
    """The picture's visual and its (question, answer) pairs."""
    sample = make_source({"pages": settings}, seed)[index]
    (visual,) = sample.visuals
    texts = [turn["value"].removeprefix("<image>\n") for turn in sample.conversations]
    return visual, list(zip(texts[::2], texts[1::2], strict=True))


def test_answers_agree_with_the_whole_page():
    checked = Counter()
    for index in range(120):
        visual, turns = draw({**PLAIN, "turns": 16}, index)
        page = next(answer for question, answer in turns if question == "What does the text say?")
        lines = page.split("\n")
        marks = "".join(mark.text for mark in visual["marks"] if mark.text != ".")
        assert marks == "".join(lines)
        for question, answer in turns:
            if question.startswith("What does line"):
                assert answer == lines[int(question.split()[3]) - 1]
            expected = {
                "What does the first line say?": lines[0],
                "What does the last line say?": lines[-1],
                "What is the first word?": lines[0].split()[0],
                "What is the last word?": lines[-1].split()[-1],
                "How many lines are there?": str(len(lines)),
            }
            assert answer == expected.get(question, answer)
            checked[question] += 1
    assert len(checked) >= 10


def test_letter_marks_lie_on_their_letters():
    for index in range(30):
        visual, _ = draw({**PLAIN, "font_size": 30, "max_area": 200_000, "max_side": 900}, index)
        ink = np.asarray(visual["image"].convert("L")) < 128
        height, width = ink.shape
        for mark in visual["marks"]:
            y, x = int(mark.y * height), int(mark.x * width)
            near = ink[max(0, y - 12) : y + 12, max(0, x - 5) : x + 5].any()
            assert near or mark.text in " ."
            if mark.text == " ":
                assert not ink[max(0, y - 3) : y + 3, x].any()


def test_pages_keep_to_their_limits_and_vary_in_shape():
    shapes = []
    for index in range(100):
        visual, _ = draw({**PLAIN, "num_lines": [1, 9], "words_per_line": [1, 6], "marks": False}, index)
        image = visual["image"]
        assert "marks" not in visual
        assert image.height * image.width <= 16384
        assert max(image.size) <= 256
        shapes.append(image.width / image.height)
    assert min(shapes) < 0.6
    assert max(shapes) > 4


def test_letters_stay_legible_after_the_resize():
    for index in range(100):
        visual, _ = draw({**PLAIN, "font_size": [16, 26]}, index)
        image = visual["image"]
        native = image_views(image.height, image.width, NANO)[-1]
        assert native.height >= 0.75 * image.height
        assert native.width >= 0.75 * image.width


def test_words_are_spelled_and_keep_to_their_split():
    for split in ("train", "test"):
        settings = {
            **PLAIN,
            "questions": ["page"],
            "words": "dictionary",
            "letters": [3, 6],
            "word_split": split,
        }
        for index in range(60):
            _, turns = draw(settings, index)
            words = turns[0][1].split()
            assert {word_split_of(word) for word in words} == {split}
            assert not known_words() & set(words)


def test_capitals_and_digits():
    settings = {**PLAIN, "questions": ["page"], "capitals": 0.6, "digits": 0.3}
    words = [word for index in range(100) for word in draw(settings, index)[1][0][1].split()]
    kinds = Counter(
        "digit" if w.isdigit() else "upper" if w.isupper() else "lower" if w.islower() else "title"
        for w in words
    )
    assert set(kinds) == {"digit", "upper", "lower", "title"}
    assert 0.2 < kinds["digit"] / len(words) < 0.4
    assert all(len(word) <= 4 for word in words if word.isdigit())


@pytest.mark.parametrize("kind", PAGE_KINDS)
def test_a_kind_alone_is_asked(kind):
    first = {"page": "What does the text say?", "line": "What does line"}
    for index in range(20):
        _, turns = draw({**PLAIN, "questions": [kind], "turns": 1}, index)
        assert len(turns) == 1
        if kind in first:
            assert turns[0][0].startswith(first[kind])


def test_the_least_numbers_hold_where_they_can():
    settings = {
        **PLAIN,
        "num_lines": [2, 3],
        "words_per_line": [2, 4],
        "letters": [3, 6],
        "questions": ["page"],
    }
    for index in range(100):
        lines = draw(settings, index)[1][0][1].split("\n")
        assert 2 <= len(lines) <= 3
        assert all(2 <= len(line.split()) <= 4 for line in lines)
