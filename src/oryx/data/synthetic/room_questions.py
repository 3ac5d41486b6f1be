"""Questions about a room, each with exactly one right short answer that what is clearly seen decides.

Views are counted from 1. Where a question can be answered by yes or no, or by one of two names or sides, both
answers are equally likely, whatever the room.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from oryx.data.rooms.catalogue import Label
from oryx.data.rooms.sights import Thing
from oryx.data.synthetic.questions import Question, listed, with_article

ROOM_KINDS = ("exists", "list", "count")
"""About the room as a whole."""
VIEW_KINDS = ("in_view", "what_in_view", "count_in_view", "side", "nearer")
"""About one view by its number."""
CROSS_KINDS = ("count_across", "views_of", "same", "find")
"""Only several views together answer them; all but `views_of` need to know which thing is which in other views.

`count_across` is `count` where no single view shows all: who adds up the views counts some twice.
"""
MARK_KINDS = ("mark_name", "mark_number", "mark_views", "mark_side", "mark_nearer")
"""About things by the numbers drawn on them."""
KINDS = (*ROOM_KINDS, *VIEW_KINDS, *CROSS_KINDS)

_ALONE_SHARE = 0.2  # of the counts, where there is a choice, have the answer 1
_MIN_APART = 0.12  # of a view's width, between the middles of two things of which one is left of the other
_SIDE = 0.08  # of a view's width, from its middle, for a thing that is on one side of it
_MIN_RATIO = 1.25  # of distances, where one thing is nearer than another

Candidates = dict[str, list[Question]]


@dataclass(frozen=True)
class Asked:
    """What questions are made of."""

    things: Sequence[Thing]
    num_views: int
    numbers: Mapping[int, int]
    """Thing's id -> the number drawn on it wherever it is clearly seen; empty without marks."""
    labels: Mapping[str, Label]
    """All labels that there are."""
    known: Sequence[str]
    """Labels that a room of this furniture might hold."""


def room_questions(rng: random.Random, asked: Asked, kinds: Sequence[str]) -> Candidates:
    """Kind -> questions, without the kinds that have none in this room. The key of each is one of `WORDINGS`."""
    makers: dict[str, Callable[[random.Random, Asked], list[Question]]] = {
        "exists": _exists,
        "list": _list,
        "count": _count,
        "count_across": _count_across,
        "in_view": _in_view,
        "what_in_view": _what_in_view,
        "count_in_view": _count_in_view,
        "side": _side,
        "nearer": _nearer,
        "views_of": _views_of,
        "same": _same,
        "find": _find,
        "mark_name": _mark_name,
        "mark_number": _mark_number,
        "mark_views": _mark_views,
        "mark_side": _mark_side,
        "mark_nearer": _mark_nearer,
    }
    made = {kind: makers[kind](rng, asked) for kind in kinds}
    return {kind: questions for kind, questions in made.items() if questions}


def name_things(counts: Mapping[str, int], labels: Mapping[str, Label]) -> str:
    """ "a bed, 2 chairs and a lamp": in the order of the names."""
    return listed(
        [
            with_article(name) if counts[name] == 1 else f"{counts[name]} {labels[name].plural}"
            for name in sorted(counts, key=str.lower)
        ]
    )


def _by_label(things: Sequence[Thing]) -> dict[str, list[Thing]]:
    groups: dict[str, list[Thing]] = {}
    for thing in things:
        groups.setdefault(thing.label, []).append(thing)
    return groups


def _certain(asked: Asked) -> dict[str, list[Thing]]:
    """Label -> its things that are clearly seen somewhere; no labels of which some thing is doubtful."""
    groups = _by_label(asked.things)
    return {
        label: seen
        for label, things in groups.items()
        if (seen := [thing for thing in things if thing.clear_views])
        and not any(thing.is_doubtful for thing in things)
    }


def _clear_in(asked: Asked, view: int) -> dict[str, list[Thing]]:
    """Label -> its things clearly seen in the view; no labels of which some thing is neither clear nor hidden."""
    groups = _by_label([thing for thing in asked.things if not thing.is_hidden(view)])
    return {
        label: things for label, things in groups.items() if all(thing.is_clear(view) for thing in things)
    }


def _alone_in(asked: Asked, view: int) -> list[Thing]:
    """The things that are the only ones of their name in the view."""
    return [things[0] for things in _clear_in(asked, view).values() if len(things) == 1]


def _absent(asked: Asked, there: Sequence[Thing]) -> list[str]:
    """Labels of nothing there, nor of anything that could be taken for something there."""
    names = {thing.label for thing in there}
    groups = {asked.labels[name].like for name in names} - {""}
    return [name for name in asked.known if name not in names and asked.labels[name].like not in groups]


def _yes_or_no(rng: random.Random, yes: Sequence[Question], no: Sequence[Question]) -> list[Question]:
    """Questions of one answer, either with equal chance; none unless the room has questions of both."""
    if not yes or not no:
        return []
    chosen = list(yes if rng.random() < 0.5 else no)
    return [rng.choice(chosen)]


def _exists(rng: random.Random, asked: Asked) -> list[Question]:
    yes = [
        _named("exists", label, "yes") for label in _by_label(asked.things) if _seen_somewhere(asked, label)
    ]
    no = [_named("exists", label, "no") for label in _absent(asked, asked.things)]
    return _yes_or_no(rng, yes, no)


def _seen_somewhere(asked: Asked, label: str) -> bool:
    return any(thing.label == label and thing.clear_views for thing in asked.things)


def _named(kind: str, label: str, answer: str, **words: str) -> Question:
    return kind, {"a_label": with_article(label), **words}, answer


def _list(_: random.Random, asked: Asked) -> list[Question]:
    if any(thing.is_doubtful for thing in asked.things):
        return []
    certain = _certain(asked)
    if not certain:
        return []
    return [
        ("list", {}, name_things({label: len(things) for label, things in certain.items()}, asked.labels))
    ]


def _counted(
    rng: random.Random, asked: Asked, counts: Mapping[str, int], kind: str, **words: str
) -> list[Question]:
    """One question on a label, mostly one of which there are several, lest nearly all answers be 1."""
    if not counts:
        return []
    several = sorted({count for count in counts.values() if count > 1})
    alone = 1 in counts.values() and (not several or rng.random() < _ALONE_SHARE)
    number = 1 if alone else rng.choice(several)
    label = rng.choice([label for label, count in counts.items() if count == number])
    return [(kind, {"labels": asked.labels[label].plural, **words}, str(number))]


def _count(rng: random.Random, asked: Asked) -> list[Question]:
    return _counted(rng, asked, {label: len(things) for label, things in _certain(asked).items()}, "count")


def _count_across(rng: random.Random, asked: Asked) -> list[Question]:
    counts = {
        label: len(things)
        for label, things in _certain(asked).items()
        if len(things) > 1
        and not any(all(not thing.is_hidden(view) for thing in things) for view in range(asked.num_views))
    }
    return _counted(rng, asked, counts, "count")


def _in_view(rng: random.Random, asked: Asked) -> list[Question]:
    yes, no = [], []
    for view in range(asked.num_views):
        there = [thing for thing in asked.things if not thing.is_hidden(view)]
        shown = {thing.label for thing in there if thing.is_clear(view)}
        yes += [_named("in_view", label, "yes", view=str(view + 1)) for label in shown]
        # Things of the room that this view does not show: a name that no view shows would be too easy.
        elsewhere = sorted({thing.label for thing in asked.things} - {thing.label for thing in there})
        groups = {asked.labels[thing.label].like for thing in there} - {""}
        no += [
            _named("in_view", label, "no", view=str(view + 1))
            for label in elsewhere
            if asked.labels[label].like not in groups
        ]
    return _yes_or_no(rng, sorted(yes, key=str), no)


def _what_in_view(rng: random.Random, asked: Asked) -> list[Question]:
    questions: list[Question] = []
    for view in range(asked.num_views):
        there = [thing for thing in asked.things if not thing.is_hidden(view)]
        if there and all(thing.is_clear(view) for thing in there):
            counts = {label: len(things) for label, things in _by_label(there).items()}
            questions.append(("what_in_view", {"view": str(view + 1)}, name_things(counts, asked.labels)))
    return questions


def _count_in_view(rng: random.Random, asked: Asked) -> list[Question]:
    questions = []
    for view in range(asked.num_views):
        counts = {label: len(things) for label, things in _clear_in(asked, view).items()}
        questions += _counted(rng, asked, counts, "count_in_view", view=str(view + 1))
    by_answer: dict[str, list[Question]] = {}
    for question in questions:
        by_answer.setdefault(question[2], []).append(question)
    several = sorted(by_answer.keys() - {"1"})
    if not by_answer:
        return []
    alone = "1" in by_answer and (not several or rng.random() < _ALONE_SHARE)
    return [rng.choice(by_answer["1" if alone else rng.choice(several)])]


def _pairs(
    rng: random.Random, asked: Asked, fit: Callable[[Thing, Thing, int], bool]
) -> list[tuple[int, Thing, Thing]]:
    """(view, one, other), in random order, of things that are alone of their name in the view."""
    found = []
    for view in range(asked.num_views):
        alone = _alone_in(asked, view)
        for index, one in enumerate(alone):
            for other in alone[index + 1 :]:
                if (
                    asked.labels[one.label].like
                    and asked.labels[one.label].like == asked.labels[other.label].like
                ):
                    continue
                if fit(one, other, view):
                    found.append((view, one, other) if rng.random() < 0.5 else (view, other, one))
    return found


def _apart(one: Thing, other: Thing, view: int) -> bool:
    return abs(one.sights[view].x - other.sights[view].x) >= _MIN_APART


def _unlike_distances(one: Thing, other: Thing, view: int) -> bool:
    near, far = sorted((one.sights[view], other.sights[view]), key=lambda sight: sight.distance)
    return far.distance >= _MIN_RATIO * near.distance and far.nearest > near.nearest


def _side_of(one: Thing, other: Thing, view: int) -> str:
    return "left" if one.sights[view].x < other.sights[view].x else "right"


def _side(rng: random.Random, asked: Asked) -> list[Question]:
    return [
        (
            "side",
            {"view": str(view + 1), "first": one.label, "second": other.label},
            _side_of(one, other, view),
        )
        for view, one, other in _pairs(rng, asked, _apart)
    ]


def _nearer(rng: random.Random, asked: Asked) -> list[Question]:
    return [
        (
            "nearer",
            {"view": str(view + 1), "first": one.label, "second": other.label},
            (one if one.sights[view].distance < other.sights[view].distance else other).label,
        )
        for view, one, other in _pairs(rng, asked, _unlike_distances)
    ]


def _views_of(_: random.Random, asked: Asked) -> list[Question]:
    """Things alone of their name that some views show; those that all views show only if there are no others."""
    partial: list[Question] = []
    full: list[Question] = []
    for label, things in _by_label(asked.things).items():
        views = things[0].clear_views
        # Either clear or hidden in each view, or there would be no one right answer.
        if len(things) == 1 and views and len(views) == len(things[0].sights):
            answer = listed([str(view + 1) for view in views])
            (partial if len(views) < asked.num_views else full).append(("views_of", {"label": label}, answer))
    return partial or full


def _same(rng: random.Random, asked: Asked) -> list[Question]:
    """Two views that show one thing of a name each, of which the room has several."""
    yes: list[Question] = []
    no: list[Question] = []
    several = {label for label, things in _by_label(asked.things).items() if len(things) > 1}
    alone = [
        {thing.label: thing for thing in _alone_in(asked, view) if thing.label in several}
        for view in range(asked.num_views)
    ]
    for view in range(asked.num_views):
        for other in range(view + 1, asked.num_views):
            for label in sorted(alone[view].keys() & alone[other].keys()):
                is_same = alone[view][label].id == alone[other][label].id
                words = {"label": label, "view": str(view + 1), "other": str(other + 1)}
                (yes if is_same else no).append(("same", words, "yes" if is_same else "no"))
    return _yes_or_no(rng, yes, no)


def _find(rng: random.Random, asked: Asked) -> list[Question]:
    """A thing that is alone of its name in one view, and in another has one of its name on the other side."""
    by_answer: dict[str, list[Question]] = {"left": [], "right": []}
    for view in range(asked.num_views):
        for thing in _alone_in(asked, view):
            for other in range(asked.num_views):
                others = _clear_in(asked, other).get(thing.label, [])
                if other == view or thing not in others or len(others) < 2:
                    continue
                offsets = {one.id: one.sights[other].x - 0.5 for one in others}
                mine = offsets.pop(thing.id)
                if abs(mine) < _SIDE or not all(
                    offset * mine < 0 and abs(offset) >= _SIDE for offset in offsets.values()
                ):
                    continue
                words = {"label": thing.label, "view": str(view + 1), "other": str(other + 1)}
                answer = "left" if mine < 0 else "right"
                by_answer[answer].append(("find", words, answer))
    return by_answer["left"] + by_answer["right"]


def _marked(asked: Asked) -> list[Thing]:
    return [thing for thing in asked.things if thing.id in asked.numbers and thing.clear_views]


def _mark_name(_: random.Random, asked: Asked) -> list[Question]:
    return [("mark_name", {"number": str(asked.numbers[thing.id])}, thing.label) for thing in _marked(asked)]


def _mark_number(_: random.Random, asked: Asked) -> list[Question]:
    groups = _by_label(asked.things)
    return [
        ("mark_number", {"label": thing.label}, str(asked.numbers[thing.id]))
        for thing in _marked(asked)
        if len(groups[thing.label]) == 1
    ]


def _mark_views(_: random.Random, asked: Asked) -> list[Question]:
    # Numbers stand on what is clearly seen and nowhere else.
    return [
        (
            "mark_views",
            {"number": str(asked.numbers[thing.id])},
            listed([str(view + 1) for view in thing.clear_views]),
        )
        for thing in _marked(asked)
    ]


def _marked_pairs(
    rng: random.Random, asked: Asked, fit: Callable[[Thing, Thing, int], bool]
) -> list[tuple[int, Thing, Thing]]:
    found = []
    for view in range(asked.num_views):
        there = [thing for thing in _marked(asked) if thing.is_clear(view)]
        for index, one in enumerate(there):
            for other in there[index + 1 :]:
                if fit(one, other, view):
                    found.append((view, one, other) if rng.random() < 0.5 else (view, other, one))
    return found


def _mark_side(rng: random.Random, asked: Asked) -> list[Question]:
    return [
        (
            "mark_side",
            {
                "view": str(view + 1),
                "first": str(asked.numbers[one.id]),
                "second": str(asked.numbers[other.id]),
            },
            _side_of(one, other, view),
        )
        for view, one, other in _marked_pairs(rng, asked, _apart)
    ]


def _mark_nearer(rng: random.Random, asked: Asked) -> list[Question]:
    return [
        (
            "mark_nearer",
            {
                "view": str(view + 1),
                "first": str(asked.numbers[one.id]),
                "second": str(asked.numbers[other.id]),
            },
            f"object {asked.numbers[(one if one.sights[view].distance < other.sights[view].distance else other).id]}",
        )
        for view, one, other in _marked_pairs(rng, asked, _unlike_distances)
    ]
