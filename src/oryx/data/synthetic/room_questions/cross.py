"""Questions that only several views together answer.

All but `views_of` need to know which thing of one view is which in another.
"""

import random

from oryx.data.synthetic.questions import Question, listed
from oryx.data.synthetic.room_questions.asked import (
    Asked,
    alone_in,
    by_label,
    certain,
    clear_in,
    counted,
    yes_or_no,
)

_SIDE = 0.08  # of a view's width, from its middle, for a thing that is on one side of it


def count_across(rng: random.Random, asked: Asked) -> list[Question]:
    """`count` where no single view shows all: who adds up the views counts some of them twice."""
    counts = {
        label: len(things)
        for label, things in certain(asked).items()
        if len(things) > 1
        and not any(all(not thing.is_hidden(view) for thing in things) for view in range(asked.num_views))
    }
    return counted(rng, asked, counts, "count")


def views_of(_: random.Random, asked: Asked) -> list[Question]:
    """Things alone of their name that some views show, or that all show if there are no others."""
    partial: list[Question] = []
    full: list[Question] = []
    for label, things in by_label(asked.things).items():
        views = things[0].clear_views
        # Either clear or hidden in each view, or there would be no one right answer.
        if len(things) == 1 and views and len(views) == len(things[0].sights):
            answer = listed([str(view + 1) for view in views])
            (partial if len(views) < asked.num_views else full).append(("views_of", {"label": label}, answer))
    return partial or full


def same(rng: random.Random, asked: Asked) -> list[Question]:
    """Two views that show one thing of a name each, of which the room has several."""
    yes: list[Question] = []
    no: list[Question] = []
    several = {label for label, things in by_label(asked.things).items() if len(things) > 1}
    alone = [
        {thing.label: thing for thing in alone_in(asked, view) if thing.label in several}
        for view in range(asked.num_views)
    ]
    for view in range(asked.num_views):
        for other in range(view + 1, asked.num_views):
            for label in sorted(alone[view].keys() & alone[other].keys()):
                is_same = alone[view][label].id == alone[other][label].id
                words = {"label": label, "view": str(view + 1), "other": str(other + 1)}
                (yes if is_same else no).append(("same", words, "yes" if is_same else "no"))
    return yes_or_no(rng, yes, no)


def find(rng: random.Random, asked: Asked) -> list[Question]:
    """A thing that is alone of its name in one view, and in another has one of its name on the other side."""
    by_answer: dict[str, list[Question]] = {"left": [], "right": []}
    for view in range(asked.num_views):
        for thing in alone_in(asked, view):
            for other in range(asked.num_views):
                others = clear_in(asked, other).get(thing.label, [])
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
