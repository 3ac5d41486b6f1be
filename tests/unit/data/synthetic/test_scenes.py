"""The skills `object` and `scene`: every answer is checked against the pixels that were drawn."""

import re
from itertools import combinations

import numpy as np
import pytest

from oryx.data.synthetic import make_source, scenes
from oryx.data.synthetic.drawing import COLORS, SHAPES
from oryx.data.synthetic.questions import PLACES
from oryx.data.synthetic.scenes import QUESTION_KINDS

PLAIN = {
    "style": "plain",
    "background": "white",
    "wordings": "first",
    "colors": ["red", "green", "blue", "black"],
}
RGB = {name: COLORS[name][0] for name in PLAIN["colors"]}


def turns(sample):
    values = [turn["value"].removeprefix("<image>\n") for turn in sample.conversations]
    return list(zip(values[::2], values[1::2], strict=True))


def middle_of(image, color):
    """The relative centre (y, x) of the box around one colour's pixels."""
    ys, xs = np.nonzero((np.asarray(image) == RGB[color]).all(axis=-1))
    return (ys.min() + ys.max() + 1) / 2 / image.height, (xs.min() + xs.max() + 1) / 2 / image.width


def is_at(place, y, x):
    if place == "center":
        return 0.4 < y < 0.6 and 0.4 < x < 0.6
    return (y < 0.42, x < 0.42) == (place.startswith("top"), place.endswith("left")) and (
        y > 0.58,
        x > 0.58,
    ) == (place.startswith("bottom"), place.endswith("right"))


def test_single_objects_are_what_and_where_the_answers_say():
    source = make_source({"object": {**PLAIN, "turns": 6, "layout": "places"}}, seed=0)
    asked = set()
    for index in range(120):
        sample = source[index]
        image = sample.visuals[0]["image"]
        (color,) = [name for name in RGB if (np.asarray(image) == RGB[name]).all(axis=-1).any()]
        for question, answer in turns(sample):
            asked.add(question)
            match question:
                case "What color is the object?":
                    assert answer == color
                case "What shape is the object?":
                    assert answer in SHAPES
                case "Where is the object?":
                    assert is_at(answer, *middle_of(image, color))
                case "How many objects are there?":
                    assert answer == "1"
                case "Describe the image.":
                    found = re.fullmatch(rf"an? ({color} \w+) at the (.+)", answer)
                    assert found
                    assert is_at(found[2], *middle_of(image, color))
    assert {"What color is the object?", "What shape is the object?", "Where is the object?"} <= asked
    assert {"How many objects are there?", "Describe the image.", "What is at the top left?"} <= asked


@pytest.fixture
def drawn(monkeypatch):
    """The objects drawn so far."""
    things = []
    paste = scenes.paste
    monkeypatch.setattr(scenes, "paste", lambda image, thing: (things.append(thing), paste(image, thing)))
    return things


def test_answers_and_marks_agree_with_what_was_drawn(drawn):
    source = make_source({"scene": {"wordings": "first", "turns": 8, "num_objects": [1, 5]}}, seed=1)
    kinds = set()
    for index in range(200):
        drawn.clear()
        sample = source[index]
        visual = sample.visuals[0]
        width, height = visual["image"].size
        things = [(thing.color, thing.shape, thing.y / height, thing.x / width) for thing in drawn]
        colors = [thing[0] for thing in things]
        said = [mark.text[1:] for mark in visual["marks"] if mark.text != "."]
        assert all(sum(word in thing[:2] for word in said) >= 1 for thing in things)
        places = [place.split() for place in PLACES for thing in things if is_at(place, *thing[2:])]
        assert set(said) <= {word for thing in things for word in thing[:2]} | {w for p in places for w in p}
        for question, answer in turns(sample):
            if question == "How many objects are there?":
                expected = str(len(things))
            elif found := re.fullmatch(r"How many (\w+) objects are there\?", question):
                expected = str(colors.count(found[1]))
            elif found := re.fullmatch(r"How many (\w+?)(es)? are there\?", question):
                name = found[1] if found[2] and found[1] in SHAPES else question.split()[2][:-1]
                expected = str(sum(thing[1] == name for thing in things))
            elif found := re.fullmatch(r"Where is the (?:(\w+) )?(\w+)\?", question):
                meant = [thing for thing in things if found[1] in (thing[0], None)]
                (thing,) = [thing for thing in meant if found[2] in (thing[1], "object")]
                expected = next(place for place in PLACES if is_at(place, *thing[2:]))
            elif found := re.fullmatch(r"What is at the (.+)\?", question):
                (thing,) = [thing for thing in things if is_at(found[1], *thing[2:])]
                expected = f"{thing[0]} {thing[1]}"
            elif found := re.fullmatch(r"What color is the (\w+)\?", question):
                (expected,) = [c for c, s, *_ in things if s == found[1] or found[1] == "object"]
            elif found := re.fullmatch(r"What shape is the (?:(\w+) )?object\?", question):
                (expected,) = [s for c, s, *_ in things if found[1] in (c, None)]
            else:
                assert question == "Describe the image."
                parts = re.split(", | and ", answer)
                expected = answer if len(parts) == len(things) else "one phrase per object"
                places = [part.split(" at the ")[1] for part in parts]
                assert places == sorted(places, key=PLACES.index)
            assert answer == expected, question
            kinds.add(re.sub(r"(red|green|blue|yellow|purple|orange|white|black) ", "", question))
    assert {f"What is at the {place}?" for place in PLACES} <= kinds


@pytest.mark.parametrize("layout", ["places", "free"])
def test_objects_never_touch_and_lie_inside(layout, drawn):
    source = make_source({"scene": {**PLAIN, "layout": layout, "num_objects": 5, "colors": ["red"]}}, seed=2)
    numbers = []
    for index in range(30):
        drawn.clear()
        image = np.asarray(source[index].visuals[0]["image"])
        border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
        # The outermost pixel may hold an antialiased trace of an object, never its full colour.
        assert not (border == RGB["red"]).all(axis=-1).all()
        numbers.append(len(drawn))
        assert all(
            max(abs(a.y - b.y), abs(a.x - b.x)) >= (a.size + b.size) / 2 for a, b in combinations(drawn, 2)
        )
    assert max(numbers) == 5
    assert min(numbers) >= 3


def test_colour_marks_lie_on_the_colour():
    source = make_source({"scene": PLAIN}, seed=3)
    for index in range(40):
        visual = source[index].visuals[0]
        image = np.asarray(visual["image"])
        for mark in visual["marks"]:
            pixel = tuple(image[int(mark.y * image.shape[0]), int(mark.x * image.shape[1])].tolist())
            if mark.text[1:] in RGB:
                assert sum(abs(a - b) for a, b in zip(pixel, RGB[mark.text[1:]], strict=True)) < 300
            elif mark.text == ".":
                assert pixel == (255, 255, 255)


@pytest.mark.parametrize("kind", QUESTION_KINDS)
def test_questions_can_be_restricted(kind):
    only = make_source({"scene": {"questions": [kind], "wordings": "first", "layout": "free"}}, seed=4)
    words = {
        "color": "What color",
        "shape": "What shape",
        "where": "Where is",
        "where_color": "Where is",
        "where_shape": "Where is",
        "what_at": "What is at",
        "describe": "Describe",
    }.get(kind, "How many")
    for index in range(60):
        asked = turns(only[index])
        assert asked
        assert all(question.startswith(words) for question, _ in asked)


def test_turns_are_never_repeated_and_hold_one_visual():
    source = make_source({"scene": {"turns": [4, 9], "wordings": "first"}}, seed=5)
    for index in range(40):
        sample = source[index]
        questions = [question for question, _ in turns(sample)]
        assert len(set(questions)) == len(questions)
        assert "".join(turn["value"] for turn in sample.conversations).count("<image>") == 1
        assert sample.conversations[-1]["from"] == "gpt"


def test_dials_are_drawn_from_their_lists():
    source = make_source({"object": {"compression": [1, 4], "detail": ["high", "low"]}}, seed=6)
    visuals = [source[index].visuals[0] for index in range(40)]
    assert {(visual["compression"], visual["detail"]) for visual in visuals} == {
        (ratio, detail) for ratio in (1, 4) for detail in ("high", "low")
    }


def test_one_colour_alone_always_finds_a_background():
    for color in COLORS:
        settings = {"colors": [color], "background": "varied", "questions": ["color"]}
        sample = make_source({"object": settings}, seed=7)[0]
        assert [answer for _, answer in turns(sample)] == [color]


def test_descriptions_can_be_made_rare_and_questions_joined():
    settings = {"turns": 9, "described": 0.2, "joined": 0.5, "wordings": "first"}
    samples = [make_source({"scene": settings}, seed=5)[index] for index in range(200)]
    described = sum(any("Describe" in question for question, _ in turns(sample)) for sample in samples)
    assert 20 <= described <= 60
    joined = sum(not sample.conversations[0]["value"].startswith("<image>\n") for sample in samples)
    assert 70 <= joined <= 130
