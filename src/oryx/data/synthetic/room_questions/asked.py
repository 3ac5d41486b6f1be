"""What questions about a room are made of, and the rules that leave each one right answer."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from oryx.data.rooms.catalogue import Label
from oryx.data.rooms.sights import Thing
from oryx.data.synthetic.questions import Question, listed, with_article

_ALONE_SHARE = 0.2  # of the counts, where there is a choice, have the answer 1
_MIN_APART = 0.12  # of a view's width, between the middles of two things of which one is left of the other
_MIN_RATIO = 1.25  # of distances, where one thing is nearer than another

Pair = tuple[int, Thing, Thing]
"""Index of a view, and two things in it."""


@dataclass(frozen=True)
class Asked:
    """A room as some of its views show it."""

    things: Sequence[Thing]
    num_views: int
    numbers: Mapping[int, int]
    """Thing's id -> the number drawn on it wherever it is clearly seen; empty without marks."""
    labels: Mapping[str, Label]
    """All labels that there are."""
    known: Sequence[str]
    """Labels that a room of this furniture might hold."""


def name_things(counts: Mapping[str, int], labels: Mapping[str, Label]) -> str:
    """ "a bed, 2 chairs and a lamp": in the order of the names."""
    return listed(
        [
            with_article(name) if counts[name] == 1 else f"{counts[name]} {labels[name].plural}"
            for name in sorted(counts, key=str.lower)
        ]
    )


def by_label(things: Sequence[Thing]) -> dict[str, list[Thing]]:
    """Label -> its things."""
    groups: dict[str, list[Thing]] = {}
    for thing in things:
        groups.setdefault(thing.label, []).append(thing)
    return groups


def certain(asked: Asked) -> dict[str, list[Thing]]:
    """Label -> its things that are clearly seen somewhere; no labels of which some thing is doubtful."""
    groups = by_label(asked.things)
    return {
        label: seen
        for label, things in groups.items()
        if (seen := [thing for thing in things if thing.clear_views])
        and not any(thing.is_doubtful for thing in things)
    }


def clear_in(asked: Asked, view: int) -> dict[str, list[Thing]]:
    """Label -> its things clearly seen in the view; none with a thing neither clear nor hidden."""
    groups = by_label([thing for thing in asked.things if not thing.is_hidden(view)])
    return {
        label: things for label, things in groups.items() if all(thing.is_clear(view) for thing in things)
    }


def alone_in(asked: Asked, view: int) -> list[Thing]:
    """The things that are the only ones of their name in the view."""
    return [things[0] for things in clear_in(asked, view).values() if len(things) == 1]


def absent(asked: Asked, there: Sequence[Thing]) -> list[str]:
    """Labels of nothing there, nor of anything that could be taken for something there."""
    names = {thing.label for thing in there}
    groups = {asked.labels[name].like for name in names} - {""}
    return [name for name in asked.known if name not in names and asked.labels[name].like not in groups]


def yes_or_no(rng: random.Random, yes: Sequence[Question], no: Sequence[Question]) -> list[Question]:
    """Questions of one answer, either with equal chance; none unless the room has questions of both."""
    if not yes or not no:
        return []
    chosen = list(yes if rng.random() < 0.5 else no)
    return [rng.choice(chosen)]


def named(kind: str, label: str, answer: str, **words: str) -> Question:
    """A question about "a chair"."""
    return kind, {"a_label": with_article(label), **words}, answer


def counted(
    rng: random.Random, asked: Asked, counts: Mapping[str, int], kind: str, **words: str
) -> list[Question]:
    """One question on a label, mostly one of which there are several, lest nearly all answers be 1."""
    if not counts:
        return []
    number = choose_number(rng, set(counts.values()))
    label = rng.choice([label for label, count in counts.items() if count == number])
    return [(kind, {"labels": asked.labels[label].plural, **words}, str(number))]


def choose_number(rng: random.Random, numbers: set[int]) -> int:
    """One of the numbers, mostly one above 1."""
    several = sorted(numbers - {1})
    return 1 if not several or (1 in numbers and rng.random() < _ALONE_SHARE) else rng.choice(several)


def pick_pairs(
    rng: random.Random,
    things_of: Callable[[int], Sequence[Thing]],
    num_views: int,
    fit: Callable[[Thing, Thing, int], bool],
) -> list[Pair]:
    """All fitting pairs of what `things_of` gives for each view, either of the two coming first."""
    found = []
    for view in range(num_views):
        there = things_of(view)
        for index, one in enumerate(there):
            for other in there[index + 1 :]:
                if fit(one, other, view):
                    found.append((view, one, other) if rng.random() < 0.5 else (view, other, one))
    return found


def apart(one: Thing, other: Thing, view: int) -> bool:
    """Whether one is clearly left of the other."""
    return abs(one.sights[view].x - other.sights[view].x) >= _MIN_APART


def unlike_distances(one: Thing, other: Thing, view: int) -> bool:
    """Whether one is clearly nearer than the other, by its middle and by its nearest point."""
    near, far = sorted((one.sights[view], other.sights[view]), key=lambda sight: sight.distance)
    return far.distance >= _MIN_RATIO * near.distance and far.nearest > near.nearest


def side_of(one: Thing, other: Thing, view: int) -> str:
    """On which side of the other the one is: "left" or "right"."""
    return "left" if one.sights[view].x < other.sights[view].x else "right"


def nearer_of(one: Thing, other: Thing, view: int) -> Thing:
    """The one of the two whose middle is nearer to the camera."""
    return one if one.sights[view].distance < other.sights[view].distance else other
