"""About one view, by its number."""

import random
from collections.abc import Callable

from oryx.data.rooms.sights import Thing
from oryx.data.synthetic.questions import Question
from oryx.data.synthetic.room_questions.asked import (
    Asked,
    Pair,
    alone_in,
    apart,
    by_label,
    choose_number,
    clear_in,
    counted,
    name_things,
    named,
    nearer_of,
    pick_pairs,
    side_of,
    unlike_distances,
    yes_or_no,
)


def in_view(rng: random.Random, asked: Asked) -> list[Question]:
    """Yes or no: does the view show one?"""
    yes, no = [], []
    for view in range(asked.num_views):
        there = [thing for thing in asked.things if not thing.is_hidden(view)]
        shown = {thing.label for thing in there if thing.is_clear(view)}
        yes += [named("in_view", label, "yes", view=str(view + 1)) for label in shown]
        # Things of the room that this view does not show: a name that no view shows would be too easy.
        elsewhere = sorted({thing.label for thing in asked.things} - {thing.label for thing in there})
        groups = {asked.labels[thing.label].like for thing in there} - {""}
        no += [
            named("in_view", label, "no", view=str(view + 1))
            for label in elsewhere
            if asked.labels[label].like not in groups
        ]
    return yes_or_no(rng, sorted(yes, key=str), no)


def what_in_view(rng: random.Random, asked: Asked) -> list[Question]:
    questions: list[Question] = []
    for view in range(asked.num_views):
        there = [thing for thing in asked.things if not thing.is_hidden(view)]
        if there and all(thing.is_clear(view) for thing in there):
            counts = {label: len(things) for label, things in by_label(there).items()}
            questions.append(("what_in_view", {"view": str(view + 1)}, name_things(counts, asked.labels)))
    return questions


def count_in_view(rng: random.Random, asked: Asked) -> list[Question]:
    """How many of a name the view shows."""
    questions = []
    for view in range(asked.num_views):
        counts = {label: len(things) for label, things in clear_in(asked, view).items()}
        questions += counted(rng, asked, counts, "count_in_view", view=str(view + 1))
    if not questions:
        return []
    number = choose_number(rng, {int(answer) for _, _, answer in questions})
    return [rng.choice([question for question in questions if question[2] == str(number)])]


def side(rng: random.Random, asked: Asked) -> list[Question]:
    """Left or right of another thing."""
    return [
        ("side", _two(view, one, other), side_of(one, other, view))
        for view, one, other in _named_pairs(rng, asked, apart)
    ]


def nearer(rng: random.Random, asked: Asked) -> list[Question]:
    """Which of two things is nearer to the camera."""
    return [
        ("nearer", _two(view, one, other), nearer_of(one, other, view).label)
        for view, one, other in _named_pairs(rng, asked, unlike_distances)
    ]


def _two(view: int, one: Thing, other: Thing) -> dict[str, str]:
    return {"view": str(view + 1), "first": one.label, "second": other.label}


def _named_pairs(rng: random.Random, asked: Asked, fit: Callable[[Thing, Thing, int], bool]) -> list[Pair]:
    """Pairs of things that their names alone tell apart in the view."""

    def tells(one: Thing, other: Thing, view: int) -> bool:
        group = asked.labels[one.label].like
        return (not group or group != asked.labels[other.label].like) and fit(one, other, view)

    return pick_pairs(rng, lambda view: alone_in(asked, view), asked.num_views, tells)
