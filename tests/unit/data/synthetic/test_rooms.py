"""The skill `rooms`: what it shows and asks follows from what is seen."""

import collections
import pickle
import random

import numpy as np
import pytest
from made_rooms import HEIGHT, WIDTH, make_room, random_room, write_rooms

from oryx.data.rooms.store import RoomStore
from oryx.data.synthetic import make_source
from oryx.data.synthetic.room_questions import KINDS, MARK_KINDS, WORDINGS
from oryx.data.synthetic.rooms import Rooms, RoomsSettings
from oryx.errors import ConfigError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_rooms(tmp_path_factory.mktemp("rooms"), [random_room(number) for number in range(40)])


def source(folder, seed=0, **settings):
    return make_source({"rooms": {"folder": str(folder), **settings}}, seed)


def test_samples_depend_on_seed_and_index_alone(folder):
    one, other = source(folder)[7], pickle.loads(pickle.dumps(source(folder)))[7]
    assert one.skill == "rooms"
    assert one.conversations == other.conversations
    assert one.visuals[0]["marks"] == other.visuals[0]["marks"]
    assert all(
        np.array_equal(a, b) for a, b in zip(one.visuals[0]["views"], other.visuals[0]["views"], strict=True)
    )


def test_visuals_are_views_of_the_size_asked_for(folder):
    sample = source(folder, views=[3, 3], height=24, width=32)[0]
    (visual,) = sample.visuals
    assert (visual["type"], visual["compression"], len(visual["views"])) == ("views", 4, 3)
    assert {view.size for view in visual["views"]} == {(32, 24)}
    assert "marks" not in source(folder, marks=False)[0].visuals[0]


def test_numbers_are_drawn_and_asked_about_only_where_they_are(folder):
    plain = source(folder, marks_drawn=0.0, turns=1)
    asked = " ".join(plain[index].conversations[0]["value"] for index in range(80))
    assert "number" not in asked
    assert "object 1" not in asked
    room, views = 0, [0, 1, 2]
    skill = plain.skills["rooms"][1]
    bare, _ = skill.show(random.Random(0), room, views, drawn=False)
    numbered, _ = skill.show(random.Random(0), room, views, drawn=True)
    numbered_ids = {thing.id for thing in skill.things(room, views) if thing.clear_views}
    assert 0 < len(numbered_ids) <= 6
    for view, (a, b) in enumerate(zip(bare, numbered, strict=True)):
        changed = np.any(np.asarray(a) != np.asarray(b), axis=2)
        dots = [thing.sights[view] for thing in skill.things(room, views) if thing.is_clear(view)]
        for sight in dots[:1]:
            assert changed[
                round(sight.y * HEIGHT) - 4, round(sight.x * WIDTH)
            ]  # the dot's red, above its digit
        assert changed.sum() <= len(dots) * skill.settings.mark_size**2


def test_marks_lie_on_what_they_name(folder):
    skill = Rooms(RoomsSettings(folder=str(folder)))
    labels = {entry["id"]: entry["label"] for entry in skill.store[3]["objects"]}
    _, marks = skill.show(random.Random(0), 3, [5, 2], drawn=False)
    assert {mark.view for mark in marks} == {0, 1}
    for mark in (mark for mark in marks if (mark.y, mark.x) != (0.0, 0.0)):
        there = skill.store.ids(3, [5, 2][mark.view])[int(mark.y * HEIGHT), int(mark.x * WIDTH)]
        assert mark.text == (f" {labels[there]}" if there else ".")


def test_the_corner_of_each_view_is_taught_which_view_it_is(folder):
    skill = Rooms(RoomsSettings(folder=str(folder)))
    _, marks = skill.show(random.Random(0), 3, [5, 2, 7], drawn=True)
    corners = [mark for mark in marks if (mark.y, mark.x) == (0.0, 0.0)]
    assert [(mark.view, mark.text) for mark in corners] == [(0, "1"), (1, "2"), (2, "3")]
    firsts = {view: next(mark for mark in marks if mark.view == view) for view in range(3)}
    assert list(firsts.values()) == corners  # a token keeps its first mark


def test_the_middle_of_a_numbered_thing_is_taught_the_digit_with_which_answers_begin(folder):
    skill = Rooms(RoomsSettings(folder=str(folder)))
    room, views = 3, [5, 2]
    _, marks = skill.show(random.Random(0), room, views, drawn=True)
    things = skill.things(room, views)
    numbers = skill._numbers(room, things)
    assert len(numbers) >= 2
    texts = {(mark.view, mark.y, mark.x): mark.text for mark in marks}
    for thing in things:
        for view in thing.clear_views if thing.id in numbers else ():
            assert texts[view, thing.sights[view].y, thing.sights[view].x] == str(numbers[thing.id])


def test_train_and_test_rooms_are_apart(folder):
    train, test, everything = (
        Rooms(RoomsSettings(folder=str(folder), split=split)).rooms for split in ("train", "test", "all")
    )
    assert sorted(train + test) == everything == list(range(40))
    assert test == [9, 19, 29, 39]


def test_every_kind_is_asked_about_equally_often(folder):
    kinds = ["exists", "same", "count_across"]  # from common to rare
    starts = {text.split("{")[0]: kind for kind in ("exists", "same") for text in WORDINGS[kind]}
    drawn = source(folder, questions=kinds, turns=1, marks_drawn=0.0)
    found = collections.Counter()
    for index in range(240):
        question = drawn[index].conversations[0]["value"].removeprefix("<image>\n")
        found[next((kind for start, kind in starts.items() if question.startswith(start)), "count")] += 1
    # "Is there ..." begins like "Is the ...", so what is counted is whether no kind is rare.
    assert len(found) == 3, found
    assert min(found.values()) >= 40, found


def test_the_vocabulary_holds_every_word(folder):
    known = set(" ".join(Rooms.vocabulary()).replace("?", " ?").replace(",", " ,").split())
    drawn = source(folder, turns=[3, 3])
    for index in range(60):
        for turn in drawn[index].conversations:
            text = (
                turn["value"].removeprefix("<image>\n").replace("?", " ?").replace(",", " ,").replace(":", "")
            )
            words = {word for word in text.split() if word.isalpha()}
            assert words <= known | {word.rstrip(":") for word in known} | {
                word.rstrip(".") for word in known
            }


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "make one with: oryx data rooms"),
        ({"folder": "nowhere"}, "nowhere holds no rooms; make them with: oryx data rooms"),
        ({"folder": "", "height": 24}, "belong together"),
        ({"folder": "x", "questions": ["where"]}, "some of exists"),
    ],
)
def test_mistakes_are_named(settings, message):
    with pytest.raises(ConfigError, match=message):
        make_source({"rooms": settings}, 0)


def test_rooms_that_give_no_such_question_are_named(tmp_path):
    lonely = make_room(0, ["chair"], [{1: (10, 10, 30, 30)}] * 2)
    with pytest.raises(ConfigError, match="no question of same"):
        source(write_rooms(tmp_path, [lonely]), questions=["same"])[0]


def test_all_kinds_have_wordings():
    assert set(WORDINGS) == {*KINDS, *MARK_KINDS} - {"count_across"}


def test_records_of_a_store_are_read_in_their_order(folder):
    store = RoomStore(folder)
    assert [store[index]["room"] for index in range(len(store))] == list(range(40))
