"""Questions about a room, each with exactly one right short answer that what is clearly seen decides.

Views are counted from 1. Where a question can be answered by yes or no, or by one of two names or sides, both
answers are equally likely, whatever the room; only the sides of `find` are those that the room has.
"""

import random
from collections.abc import Callable, Sequence

from oryx.data.synthetic.questions import Question
from oryx.data.synthetic.room_questions import cross, numbers, room, view
from oryx.data.synthetic.room_questions.asked import Asked
from oryx.data.synthetic.room_questions.wordings import WORDINGS

__all__ = [
    "CROSS_KINDS",
    "IDENTITY_KINDS",
    "KINDS",
    "MARK_KINDS",
    "ROOM_KINDS",
    "VIEW_KINDS",
    "WORDINGS",
    "Asked",
    "Candidates",
    "room_questions",
]

Maker = Callable[[random.Random, Asked], list[Question]]
Candidates = dict[str, list[Question]]

_ROOM: dict[str, Maker] = {"exists": room.exists, "list": room.list_things, "count": room.count}
_VIEW: dict[str, Maker] = {
    "in_view": view.in_view,
    "what_in_view": view.what_in_view,
    "count_in_view": view.count_in_view,
    "side": view.side,
    "nearer": view.nearer,
}
_CROSS: dict[str, Maker] = {
    "count_across": cross.count_across,
    "views_of": cross.views_of,
    "same": cross.same,
    "find": cross.find,
}
_MARK: dict[str, Maker] = {
    "mark_name": numbers.mark_name,
    "mark_number": numbers.mark_number,
    "mark_views": numbers.mark_views,
    "mark_side": numbers.mark_side,
    "mark_nearer": numbers.mark_nearer,
}
_MAKERS = {**_ROOM, **_VIEW, **_CROSS, **_MARK}

ROOM_KINDS, VIEW_KINDS, CROSS_KINDS, MARK_KINDS = (tuple(makers) for makers in (_ROOM, _VIEW, _CROSS, _MARK))
KINDS = (*ROOM_KINDS, *VIEW_KINDS, *CROSS_KINDS)
"""All that need no numbers on the things."""
IDENTITY_KINDS = tuple(kind for kind in CROSS_KINDS if kind != "views_of")
"""Those that ask, in effect, which thing of one view is which in another."""


def room_questions(rng: random.Random, asked: Asked, kinds: Sequence[str]) -> Candidates:
    """Kind -> its questions in this room, without kinds that have none; worded by `WORDINGS`."""
    made = {kind: _MAKERS[kind](rng, asked) for kind in kinds}
    return {kind: questions for kind, questions in made.items() if questions}
