"""The skill `things`: right answers, marks inside things, only pictures asked for, balanced yes and no."""

import random
from collections import Counter

import numpy as np
import pytest

from oryx.data.pictures import load_names
from oryx.data.synthetic import make_source
from oryx.data.synthetic.questions import PLACES
from oryx.data.synthetic.things import Things
from oryx.data.tokenizer import spelling_tokenizer
from oryx.errors import ConfigError

PLAIN = {"background": "white", "jitter": 0, "shadow": 0, "rotation": 0, "stretch": 0, "wordings": "first"}


@pytest.fixture
def draw(picture_store):
    """(settings, index) -> the picture's visual and its (question, answer) pairs."""

    def make(settings, index=0):
        source = make_source({"things": {"pictures": picture_store, **settings}}, seed=1)
        sample = source[index]
        (visual,) = sample.visuals
        texts = [turn["value"].removeprefix("<image>\n") for turn in sample.conversations]
        return visual, list(zip(texts[::2], texts[1::2], strict=True))

    return make


def ink_of(image):
    """Ink on white as True."""
    return (np.asarray(image.convert("RGB")) != 255).any(axis=2)


def test_one_thing_is_named(draw):
    answers = set()
    for index in range(60):
        visual, turns = draw({**PLAIN, "questions": ["name"], "num_things": 1}, index)
        assert [question for question, _ in turns] == ["What is this?"]
        answers.add(turns[0][1])
        assert visual["type"] == "image"
    assert answers == {
        "a cat", "a dog", "an apple", "some grapes", "some bread", "a palm tree", "a clock", "a unicorn"
    }  # fmt: skip


def test_answers_agree_with_the_description(draw):
    for index in range(80):
        kinds = ["describe", "where", "what_at", "count", "is_there"]
        _, turns = draw({**PLAIN, "questions": kinds, "turns": 16, "num_things": [2, 4]}, index)
        described = next((answer for question, answer in turns if question == "Describe the image."), None)
        if described is None:
            continue
        where = dict(part.split(" at the ") for part in described.replace(" and ", ", ").split(", "))
        for question, answer in turns:
            if question.startswith("Where "):
                name = question.split(" the ")[1].rstrip("?")
                assert where[load_names()[name].phrase] == answer
            elif question.startswith("What is at"):
                assert where[answer] == question.removeprefix("What is at the ").rstrip("?")
            elif question.startswith("How many"):
                assert answer == str(len(where))
            elif question.startswith(("Is ", "Are ")):
                phrase = question.split(" there ")[1].rstrip("?")
                assert answer == ("yes" if phrase in where else "no")


def test_things_lie_where_they_are_said_to_be(draw):
    seen = Counter()
    for index in range(80):
        visual, turns = draw({**PLAIN, "questions": ["where"], "num_things": 1, "thing_size": 0.3}, index)
        ink = ink_of(visual["image"])
        ys, xs = np.nonzero(ink)
        y, x = ys.mean() / ink.shape[0], xs.mean() / ink.shape[1]
        place = turns[0][1]
        seen[place] += 1
        if place == "center":
            assert abs(y - 0.5) < 0.12
            assert abs(x - 0.5) < 0.12
        else:
            assert ("top" in place) == (y < 0.5)
            assert ("left" in place) == (x < 0.5)
    assert set(seen) == set(PLACES)


def test_yes_and_no_are_balanced(draw):
    answers = Counter()
    for index in range(300):
        _, turns = draw({"questions": ["is_there"], "turns": 1}, index)
        answers[turns[0][1]] += 1
    assert 110 < answers["yes"] < 190
    assert answers.total() == 300


def test_plural_things_are_asked_about_in_the_plural(draw):
    settings = {**PLAIN, "names": ["grapes"], "questions": ["is_there", "where"], "turns": 2, "num_things": 1}
    asked = {question for index in range(40) for question, _ in draw(settings, index)[1]}
    assert asked == {"Are there some grapes?", "Where are the grapes?"}


def test_marks_lie_on_things_and_name_them(draw):
    for index in range(40):
        visual, _ = draw({**PLAIN, "rotation": 20, "num_things": [1, 3]}, index)
        ink = ink_of(visual["image"])
        height, width = ink.shape
        named = [mark for mark in visual["marks"] if mark.text != "."]
        assert named
        for mark in visual["marks"]:
            assert mark.view == 0
            on_ink = ink[int(mark.y * height), int(mark.x * width)]
            assert on_ink == (mark.text != ".")
        words = {" top", " bottom", " left", " right", " center"}
        assert all(mark.text[1:] in load_names() for mark in named if mark.text not in words)
    assert "marks" not in draw({"marks": False})[0]


def test_things_stand_out_and_never_touch(draw):
    for index in range(15):
        visual, turns = draw({**PLAIN, "questions": ["count"], "num_things": 4, "canvas": 96}, index)
        ink = ink_of(visual["image"])
        rows = np.flatnonzero(ink.any(axis=1))
        assert rows[0] > 0
        assert rows[-1] < 95
        assert int(turns[0][1]) == count_blobs(ink)


def count_blobs(ink):
    """Connected areas, by flooding."""
    ink, number = ink.copy(), 0
    while ink.any():
        number += 1
        edge = [tuple(np.argwhere(ink)[0])]
        while edge:
            y, x = edge.pop()
            if 0 <= y < ink.shape[0] and 0 <= x < ink.shape[1] and ink[y, x]:
                ink[y, x] = False
                edge += [(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    return number


def test_only_the_pictures_asked_for(picture_store):
    def pictures(**settings):
        skill = make_source({"things": {"pictures": picture_store, **settings}}, 0).skills["things"][1]
        return {p.style for found in skill.pictures.values() for p in found}, set(skill.pictures)

    assert pictures()[0] == {"fluent-3d", "twemoji"}
    assert pictures(styles=["twemoji"])[0] == {"twemoji"}
    assert pictures(split="test")[0] == {"clipart"}
    assert pictures(split="new_style")[0] == {"noto"}
    few, more = pictures(num_names=2)[1], pictures(num_names=4)[1]
    assert len(few) == 2
    assert few < more
    assert pictures(names=["cat", "clock"])[1] == {"cat", "clock"}


def test_some_styles_may_be_drawn_more_often(picture_store):
    def share(**settings):
        skill = make_source({"things": {"pictures": picture_store, **settings}}, 0).skills["things"][1]
        rng = random.Random(0)
        drawn = [skill._picture(rng, thing).style for thing in skill.names for _ in range(100)]
        return drawn.count("twemoji") / len(drawn)

    assert 0.4 < share() < 0.6
    assert 0.7 < share(favoured_styles=["twemoji"], favoured=0.5) < 0.8
    assert share(favoured_styles=["clipart"], favoured=1) < 0.6  # of which none is trained on


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"styles": ["notto"]}, "'styles' names 'notto'; did you mean 'noto'"),
        ({"favoured": 0.5}, "'favoured' is set, but 'favoured_styles' names no style"),
        ({"favoured_styles": ["notto"]}, "'favoured_styles' names 'notto'; did you mean 'noto'"),
        ({"names": ["catt"]}, "'names' names 'catt'; did you mean 'cat'"),
        ({"names": ["house"]}, "has no 'train' picture of these styles and names"),
        ({"styles": ["noto"]}, "has no 'train' picture of these styles and names"),
    ],
)
def test_nothing_left_to_draw_is_refused(picture_store, settings, message):
    with pytest.raises(ConfigError, match=message):
        make_source({"things": {"pictures": picture_store, **settings}}, 0)


def test_every_name_is_one_token(picture_store):
    tokenizer = spelling_tokenizer(2 * Things.vocabulary())
    for thing in load_names().values():
        words = f" {thing.name}".replace(" ", " Ġ").split()
        assert tokenizer.tokenize(f"a {thing.name}") == ["a", *words]
    source = make_source({"things": {"pictures": picture_store, "turns": 6}}, 0)
    known = set(tokenizer.get_vocab())
    for index in range(100):
        for turn in source[index].conversations:
            spaced = {f"Ġ{word}" for word in turn["value"].replace("?", "").replace(",", "").split(" ")[1:]}
            assert {word for word in spaced if word[1:].isalpha()} <= known
