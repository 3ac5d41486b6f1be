"""The same questions, shown three ways."""

import collections

import numpy as np
import pytest
from made_rooms import make_room, random_room, write_rooms

from oryx.data.synthetic.room_questions import IDENTITY_KINDS, KINDS, MARK_KINDS
from oryx.errors import ConfigError
from oryx.evaluation.rooms.questions import (
    SINGLE_VIEW,
    WITH_MARKS,
    WITHOUT_MARKS,
    RoomTest,
    draw_questions,
    open_rooms,
    sample_of,
)

TEST = RoomTest(rooms=20, views=(3, 6), height=0, width=0)


@pytest.fixture(scope="module")
def skill(tmp_path_factory):
    rooms = [random_room(number) for number in range(20)]
    return open_rooms(str(write_rooms(tmp_path_factory.mktemp("rooms"), rooms)), TEST)


@pytest.fixture(scope="module")
def drawn(skill):
    return draw_questions(skill, TEST)


def pixels(sample):
    return [np.asarray(view) for view in sample.visuals[0]["views"]]


def test_rare_kinds_are_asked_as_often_as_they_can_be(drawn):
    plain, numbered = drawn
    counts = collections.Counter(question.kind for question in plain)
    assert set(counts) == set(KINDS)
    assert all(counts[kind] <= TEST.rooms for kind in set(KINDS) - set(IDENTITY_KINDS))
    assert sum(counts[kind] for kind in IDENTITY_KINDS) > 2 * TEST.rooms
    per_room = collections.Counter(question.room for question in plain)
    assert max(per_room.values()) == TEST.questions_per_room
    assert {question.kind for question in numbered} == set(MARK_KINDS)
    assert max(collections.Counter(question.room for question in numbered).values()) == 7


def test_no_question_is_asked_twice(drawn):
    for questions in drawn:
        said = {(q.room, q.views, q.kind, q.text) for q in questions}
        assert len(said) == len(questions)


def test_a_rooms_questions_depend_on_seed_and_room_alone(skill, drawn):
    few = draw_questions(skill, RoomTest(rooms=3, views=(3, 6), height=0, width=0))
    assert few[0] == [question for question in drawn[0] if question.room < 3]
    assert few[1] == [question for question in drawn[1] if question.room < 3]
    other = draw_questions(skill, RoomTest(rooms=3, views=(3, 6), height=0, width=0, seed=1))
    assert other[0] != few[0]


def test_marks_are_all_that_differs_between_two_ways(skill, drawn):
    for question in drawn[0][:30]:
        marked, bare = (sample_of(skill, question, way) for way in (WITH_MARKS, WITHOUT_MARKS))
        assert marked.conversations == bare.conversations
        assert "number" not in bare.conversations[0]["value"]
        pairs = list(zip(pixels(marked), pixels(bare), strict=True))
        assert len(pairs) == len(question.views)
        assert any((one != other).any() for one, other in pairs)
        for view, (_, other) in zip(question.views, pairs, strict=True):
            assert np.array_equal(other, np.asarray(skill.store.view(question.room, view)))


def test_a_single_view_is_one_that_the_question_names(skill, drawn):
    renamed = 0
    for question in drawn[0]:
        sample = sample_of(skill, question, SINGLE_VIEW)
        (shown,) = pixels(sample)
        view = question.views[question.single]
        assert np.array_equal(shown, np.asarray(skill.store.view(question.room, view)))
        text = sample.conversations[0]["value"].removeprefix("<image>\n")
        number = f"view {question.single + 1}"
        if "view " in question.text:
            assert number in question.text
            assert "view 1" in text
            renamed += text != question.text
        else:
            assert text == question.text
        assert sample.conversations[1]["value"] == question.expected
    assert renamed > 20


def test_single_views_of_questions_on_a_whole_room_are_random(drawn):
    assert len({question.single for question in drawn[0] if question.kind == "list"}) > 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rooms": 0}, "rooms is 0; it must be at least 1"),
        ({"questions_per_room": 0}, "questions_per_room is 0; it must be at least 1"),
        ({"views": (1, 4)}, "views is 1; it must be at least 2"),
    ],
)
def test_mistakes_are_named(settings, message):
    with pytest.raises(ConfigError, match=message):
        RoomTest(**settings)


def test_too_few_rooms_are_refused(tmp_path):
    folder = str(write_rooms(tmp_path, [make_room(0, ["bed"], [{}])]))
    with pytest.raises(ConfigError, match="holds 1 rooms; 2 are asked for"):
        open_rooms(folder, RoomTest(rooms=2))
    with pytest.raises(ConfigError, match="belong together"):
        open_rooms(folder, RoomTest(rooms=1, height=0))
