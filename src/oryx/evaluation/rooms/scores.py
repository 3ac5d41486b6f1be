"""What a test of rooms says of each kind of question, and of groups of kinds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from oryx.data.synthetic.room_questions import CROSS_KINDS, MARK_KINDS, ROOM_KINDS, VIEW_KINDS
from oryx.evaluation.metrics import Gain, Share, is_right
from oryx.evaluation.rooms.questions import SINGLE_VIEW, WITH_MARKS, WITHOUT_MARKS, RoomQuestion, shown

NUMBERS = "numbers"
GROUPS = {"room": ROOM_KINDS, "one view": VIEW_KINDS, "across views": CROSS_KINDS, NUMBERS: MARK_KINDS}

_KEPT_WRONG = 3


@dataclass(frozen=True)
class KindResult:
    """One kind of question, or a group of kinds."""

    name: str
    group: str
    num_questions: int
    num_rooms: int
    ways: dict[str, Share]
    """One of each of `WAYS`; with marks only, for questions about numbers. Clusters are the rooms."""
    marks_gain: Gain | None
    """With marks over without."""
    views_gain: Gain | None
    """Without marks over a single view."""
    blind_share: float
    """Right by the best rule that sees no picture; in a group, by the best of each kind."""
    blind_rule: str | None
    """That rule: always this answer, or "the first named". None in a group."""


@dataclass(frozen=True)
class WrongRoomAnswer:
    """One question answered wrong."""

    kind: str
    way: str
    room: int
    views: tuple[int, ...]
    """Those shown, counted from 0 as they are stored."""
    question: str
    expected: str
    answer: str


@dataclass(frozen=True)
class RoomAnswer:
    """One question asked in one way, with its answer."""

    way: str
    index: int
    """Of the question among those of its way; those about numbers have `NUMBERS` as their way."""
    kind: str
    room: int
    question: str
    expected: str
    answer: str
    right: bool
    problem: str | None = None
    """Why there is no answer, where a server gave none."""


Said = Mapping[str, Sequence[str]]
"""Way -> the answers to all questions of a list, in its order."""


def kind_results(questions: Sequence[RoomQuestion], said: Said) -> list[KindResult]:
    results = []
    for group, kinds in GROUPS.items():
        for kind in kinds:
            own = [index for index, question in enumerate(questions) if question.kind == kind]
            if own:
                rule, right = best_blind_rule([questions[index] for index in own])
                results.append(_result(kind, group, own, questions, said, right, rule))
    return results


def group_results(
    questions: Sequence[RoomQuestion], said: Said, kinds: Sequence[KindResult]
) -> list[KindResult]:
    results = []
    for group, names in GROUPS.items():
        own = [index for index, question in enumerate(questions) if question.kind in names]
        if own:
            right = sum(round(kind.blind_share * kind.num_questions) for kind in kinds if kind.group == group)
            results.append(_result(group, group, own, questions, said, right, None))
    return results


def _result(
    name: str,
    group: str,
    own: Sequence[int],
    questions: Sequence[RoomQuestion],
    said: Said,
    blind_right: int,
    blind_rule: str | None,
) -> KindResult:
    """Of the questions with these indices."""
    rooms = [questions[index].room for index in own]
    right = {
        way: [is_right(answers[index], questions[index].expected) for index in own]
        for way, answers in said.items()
    }
    return KindResult(
        name=name,
        group=group,
        num_questions=len(own),
        num_rooms=len(set(rooms)),
        ways={way: Share.of(one, rooms) for way, one in right.items()},
        marks_gain=_gain(right, WITH_MARKS, WITHOUT_MARKS, rooms),
        views_gain=_gain(right, WITHOUT_MARKS, SINGLE_VIEW, rooms),
        blind_share=blind_right / len(own),
        blind_rule=blind_rule,
    )


def best_blind_rule(questions: Sequence[RoomQuestion]) -> tuple[str, int]:
    """What is right most often without a look: one answer, or one of the two things named; and how often."""
    right: Counter[str] = Counter()
    for question in questions:
        right[repr(question.expected)] += 1
        for place, option in zip(("first", "second"), question.options):
            # Numbered things are answered as "object 3".
            if question.expected.removeprefix("object ") == option:
                right[f"the {place} named"] += 1
    return right.most_common(1)[0]


def _gain(right: Mapping[str, Sequence[bool]], way: str, other: str, rooms: Sequence[int]) -> Gain | None:
    if way not in right or other not in right:
        return None
    return Gain.of(right[way], right[other], rooms)


def first_wrong(questions: Sequence[RoomQuestion], said: Said) -> list[WrongRoomAnswer]:
    kept: Counter[tuple[str, str]] = Counter()
    wrong = []
    for way, answers in said.items():
        for question, answer in zip(questions, answers, strict=True):
            key = question.kind, way
            if kept[key] < _KEPT_WRONG and not is_right(answer, question.expected):
                kept[key] += 1
                text, views = shown(question, way)
                wrong.append(
                    WrongRoomAnswer(question.kind, way, question.room, views, text, question.expected, answer)
                )
    return wrong
