"""Which questions stand beside each other on one picture."""

import random

import pytest

from oryx.data.synthetic.questions import Question, choose_turns

ORDER: dict[str, list[Question]] = {
    "first": [("first", {}, "red circle")],
    "after": [("after", {"color": "red", "shape": "circle"}, "blue star")],
    "before": [("before", {"color": "blue", "shape": "star"}, "red circle")],
}
DESCRIPTION: list[Question] = [("describe_video", {}, "a red circle, then a blue star")]


def choose_all(candidates: dict[str, list[Question]], number: int = 8) -> list[list[str]]:
    """The questions of two hundred samples."""
    return [
        [question for question, _ in choose_turns(random.Random(seed), candidates, number, "first")]
        for seed in range(200)
    ]


def test_one_of_every_kind_comes_before_a_second():
    candidates = {
        kind: [(kind, {}, f"{kind} {number}") for number in range(2)] for kind in ("words", "count")
    }
    for asked in choose_all(candidates):
        assert (
            sorted(asked[:2])
            == sorted(asked[2:])
            == ["How many objects are there?", "What does the text say?"]
        )


def test_what_an_earlier_answer_told_is_not_asked():
    found = choose_all(ORDER)
    assert {len(asked) for asked in found} == {2}
    assert all("What comes first?" in asked for asked in found)
    for text in ("What comes after the red circle?", "What comes before the blue star?"):
        assert 60 < sum(text in asked for asked in found) < 140


def test_after_a_description_nothing_of_it_is_asked():
    found = choose_all({**ORDER, "describe": DESCRIPTION, "count": [("count", {}, "2")]})
    for asked in found:
        place = asked.index("Describe the video.")
        assert set(asked[place + 1 :]) <= {"How many objects are there?"}
    assert any(asked[0] == "Describe the video." for asked in found)


def test_another_one_of_the_kind_takes_the_place():
    more = {**ORDER, "after": [*ORDER["after"], ("after", {"color": "blue", "shape": "star"}, "green cross")]}
    found = choose_all({"before": ORDER["before"], "after": more["after"]})
    assert all("What comes after the blue star?" in asked for asked in found)


@pytest.mark.parametrize("number", [1, 2])
def test_no_more_are_asked_than_wanted(number):
    assert {len(asked) for asked in choose_all(ORDER, number)} == {number}
