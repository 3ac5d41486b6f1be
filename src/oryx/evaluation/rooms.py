"""Do marks help with rooms? The same questions with numbered dots, without, and on a single view.

    result = evaluate_rooms(model, processor, "runs/nano/rooms/test", RoomTest(rooms=500))

Questions about the numbers themselves are asked with marks alone. Beside the model stands what the best rule
gets that sees no picture.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from oryx.data.synthetic.room_questions import CROSS_KINDS, MARK_KINDS, ROOM_KINDS, VIEW_KINDS
from oryx.errors import ConfigError
from oryx.evaluation.answers import answer_samples
from oryx.evaluation.metrics import Gain, Share, is_exact
from oryx.evaluation.room_test import (
    SINGLE_VIEW,
    WAYS,
    WITH_MARKS,
    WITHOUT_MARKS,
    RoomQuestion,
    RoomTest,
    draw_questions,
    open_rooms,
    sample_of,
    shown,
)

NUMBERS = "numbers"
GROUPS = {"room": ROOM_KINDS, "one view": VIEW_KINDS, "across views": CROSS_KINDS, NUMBERS: MARK_KINDS}

_KEPT_WRONG = 3
_SPARE_TOKENS = 4


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
class RoomResult:
    """One model."""

    groups: list[KindResult]
    kinds: list[KindResult]
    visual_tokens: dict[str, float]
    """Mean of a prompt, each way."""
    seconds: float
    wrong: list[WrongRoomAnswer] = field(default_factory=list)
    """The first few of each kind, each way."""


def evaluate_rooms(
    model: Any,
    processor: Any,
    folder: str,
    test: RoomTest | None = None,
    batch_size: int = 32,
    progress: Callable[[int, int], None] | None = None,
) -> RoomResult:
    """Measures a model on the rooms of a folder.

    Args:
        model, processor: as `oryx.load` gives them.
        folder: of a store that `oryx data rooms` wrote, with furniture that the model was not trained on.
        batch_size: prompts answered at once; the answers do not depend on it.
        progress: called after every batch with the questions that are answered and all.

    Raises:
        ConfigError: no such rooms, too few, or a setting out of range. Nothing was run by then.
        MediaError: a picture of the store cannot be read.
    """
    test = test or RoomTest()
    if batch_size < 1:
        raise ConfigError(f"batch_size is {batch_size}; it must be at least 1.")
    skill = open_rooms(folder, test)
    plain, numbered = draw_questions(skill, test)
    if not plain:
        raise ConfigError(f"{folder}: the first {test.rooms} rooms give no question.")
    runs = [*((plain, way) for way in WAYS), (numbered, WITH_MARKS)]
    expected = sorted({question.expected for questions, _ in runs for question in questions})
    longest = max(len(ids) for ids in processor.tokenizer(expected)["input_ids"]) + _SPARE_TOKENS
    total = sum(len(questions) for questions, _ in runs)
    began, done = time.perf_counter(), 0
    told: list[list[str]] = []
    tokens: list[int] = []
    for questions, way in runs:
        told.append([])
        tokens.append(0)
        for start in range(0, len(questions), batch_size):
            drawn = [sample_of(skill, question, way) for question in questions[start : start + batch_size]]
            answers, num_tokens = answer_samples(model, processor, drawn, longest, {})
            told[-1] += answers
            tokens[-1] += num_tokens
            done += len(drawn)
            if progress is not None:
                progress(done, total)
    said = dict(zip(WAYS, told))
    kinds = _kind_results(plain, said) + _kind_results(numbered, {WITH_MARKS: told[-1]})
    return RoomResult(
        groups=_group_results(plain, said, kinds) + _group_results(numbered, {WITH_MARKS: told[-1]}, kinds),
        kinds=kinds,
        visual_tokens={way: number / len(plain) for way, number in zip(WAYS, tokens)},
        seconds=time.perf_counter() - began,
        wrong=_wrong(plain, said) + _wrong(numbered, {WITH_MARKS: told[-1]}),
    )


Said = Mapping[str, Sequence[str]]
"""Way -> the answers to all questions of a list, in its order."""


def _kind_results(questions: Sequence[RoomQuestion], said: Said) -> list[KindResult]:
    results = []
    for group, kinds in GROUPS.items():
        for kind in kinds:
            own = [index for index, question in enumerate(questions) if question.kind == kind]
            if own:
                rule, right = best_blind_rule([questions[index] for index in own])
                results.append(_result(kind, group, own, questions, said, right, rule))
    return results


def _group_results(
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
        way: [is_exact(answers[index], questions[index].expected) for index in own]
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


def _wrong(questions: Sequence[RoomQuestion], said: Said) -> list[WrongRoomAnswer]:
    kept: Counter[tuple[str, str]] = Counter()
    wrong = []
    for way, answers in said.items():
        for question, answer in zip(questions, answers, strict=True):
            key = question.kind, way
            if kept[key] < _KEPT_WRONG and not is_exact(answer, question.expected):
                kept[key] += 1
                text, views = shown(question, way)
                wrong.append(
                    WrongRoomAnswer(question.kind, way, question.room, views, text, question.expected, answer)
                )
    return wrong
