"""About things by the numbers drawn on them."""

import random
from collections.abc import Callable

from oryx.data.rooms.sights import Thing
from oryx.data.synthetic.questions import Question, listed
from oryx.data.synthetic.room_questions.asked import (
    Asked,
    Pair,
    apart,
    by_label,
    nearer_of,
    pick_pairs,
    side_of,
    unlike_distances,
)


def mark_name(_: random.Random, asked: Asked) -> list[Question]:
    """What has this number?"""
    return [
        ("mark_name", {"number": str(asked.numbers[thing.id])}, thing.label) for thing in _numbered(asked)
    ]


def mark_number(_: random.Random, asked: Asked) -> list[Question]:
    """Which number has a thing that is alone of its name in the room?"""
    groups = by_label(asked.things)
    return [
        ("mark_number", {"label": thing.label}, str(asked.numbers[thing.id]))
        for thing in _numbered(asked)
        if len(groups[thing.label]) == 1
    ]


def mark_views(_: random.Random, asked: Asked) -> list[Question]:
    """Which views show this number?"""
    # Numbers stand on what is clearly seen and nowhere else.
    return [
        (
            "mark_views",
            {"number": str(asked.numbers[thing.id])},
            listed([str(view + 1) for view in thing.clear_views]),
        )
        for thing in _numbered(asked)
    ]


def mark_side(rng: random.Random, asked: Asked) -> list[Question]:
    """Left or right of another numbered thing."""
    return [
        ("mark_side", _two(asked, view, one, other), side_of(one, other, view))
        for view, one, other in _numbered_pairs(rng, asked, apart)
    ]


def mark_nearer(rng: random.Random, asked: Asked) -> list[Question]:
    """Which of two numbered things is nearer to the camera."""
    return [
        (
            "mark_nearer",
            _two(asked, view, one, other),
            f"object {asked.numbers[nearer_of(one, other, view).id]}",
        )
        for view, one, other in _numbered_pairs(rng, asked, unlike_distances)
    ]


def _numbered(asked: Asked) -> list[Thing]:
    return [thing for thing in asked.things if thing.id in asked.numbers and thing.clear_views]


def _two(asked: Asked, view: int, one: Thing, other: Thing) -> dict[str, str]:
    return {
        "view": str(view + 1),
        "first": str(asked.numbers[one.id]),
        "second": str(asked.numbers[other.id]),
    }


def _numbered_pairs(rng: random.Random, asked: Asked, fit: Callable[[Thing, Thing, int], bool]) -> list[Pair]:
    def things_of(view: int) -> list[Thing]:
        return [thing for thing in _numbered(asked) if thing.is_clear(view)]

    return pick_pairs(rng, things_of, asked.num_views, fit)
