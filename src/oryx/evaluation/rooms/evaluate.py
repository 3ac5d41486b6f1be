"""Do marks help with rooms? The same questions with numbered dots, without, and on a single view.

    result = evaluate_rooms(model, processor, "runs/nano/rooms/test", RoomTest(rooms=500))

Questions about the numbers themselves are asked with marks alone. Beside the model stands what the best rule
gets that sees no picture.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from oryx.data.synthetic import Sample
from oryx.errors import ConfigError
from oryx.evaluation.answers import Answered, Answerer, ModelAnswerer, answer_all, mean_tokens
from oryx.evaluation.journal import Journal, Kept, Key
from oryx.evaluation.metrics import is_blank, is_right
from oryx.evaluation.rooms.questions import (
    WAYS,
    WITH_MARKS,
    RoomQuestion,
    RoomTest,
    draw_questions,
    open_rooms,
    sample_of,
    shown,
)
from oryx.evaluation.rooms.scores import (
    GROUPS,
    NUMBERS,
    KindResult,
    RoomAnswer,
    WrongRoomAnswer,
    best_blind_rule,
    first_wrong,
    group_results,
    kind_results,
)

__all__ = [
    "GROUPS",
    "NUMBERS",
    "KindResult",
    "RoomAnswer",
    "RoomResult",
    "WrongRoomAnswer",
    "best_blind_rule",
    "evaluate_rooms",
    "measure_rooms",
]

_SPARE_TOKENS = 4


@dataclass(frozen=True)
class RoomResult:
    """One model."""

    groups: list[KindResult]
    kinds: list[KindResult]
    visual_tokens: dict[str, float | None]
    """Mean of a prompt, each way; None where a server does not tell."""
    seconds: float
    wrong: list[WrongRoomAnswer] = field(default_factory=list)
    """The first few of each kind, each way."""
    num_unparsed: int = 0
    """Answers that say nothing, or never came: wrong, whatever was expected."""
    answers: list[RoomAnswer] = field(default_factory=list, repr=False)
    """All of them."""

    def to_dict(self) -> dict[str, Any]:
        """What the JSON file holds: all but the answers, which have a file of their own."""
        return {key: value for key, value in asdict(self).items() if key != "answers"}


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
    return measure_rooms(
        ModelAnswerer(model, processor), folder, test, batch_size, progress, tokenizer=processor.tokenizer
    )


def measure_rooms(
    answerer: Answerer,
    folder: str,
    test: RoomTest | None = None,
    batch_size: int = 32,
    progress: Callable[[int, int], None] | None = None,
    kept: Kept | None = None,
    tokenizer: Any = None,
) -> RoomResult:
    """`evaluate_rooms` for whoever answers.

    Args:
        kept: answers of an earlier run of the same settings; it gets those that come.
        tokenizer: of the model, to know how long an answer may be; where it is not known, a token is taken
            for no more than one character.

    Raises:
        ConfigError, MediaError: as `evaluate_rooms`.
    """
    test = test or RoomTest()
    if batch_size < 1:
        raise ConfigError(f"batch_size is {batch_size}; it must be at least 1.")
    skill = open_rooms(folder, test)
    plain, numbered = draw_questions(skill, test)
    if not plain:
        raise ConfigError(f"{folder}: the first {test.rooms} rooms give no question.")
    runs = {**dict.fromkeys(WAYS, plain), NUMBERS: numbered}
    expected = sorted({question.expected for questions in runs.values() for question in questions})
    texts = expected if tokenizer is None else tokenizer(expected)["input_ids"]
    longest = max(map(len, texts)) + _SPARE_TOKENS
    total, done = sum(map(len, runs.values())), 0

    def advance(number: int) -> None:
        nonlocal done
        done += number
        if progress is not None:
            progress(done, total)

    def draw(key: Key) -> Sample:
        way, index = str(key[0]), int(key[1] or 0)
        return sample_of(skill, runs[way][index], WITH_MARKS if way == NUMBERS else way)

    kept = Journal.in_memory() if kept is None else kept
    _check_kept(kept, runs)
    answered = {
        way: answer_all(
            answerer,
            [(way, index) for index in range(len(questions))],
            draw,
            longest,
            {},
            batch_size,
            kept,
            advance,
        )
        for way, questions in runs.items()
    }
    said = {way: [one.answer for one in answered[way]] for way in WAYS}
    told = {WITH_MARKS: [one.answer for one in answered[NUMBERS]]}
    kinds = kind_results(plain, said) + kind_results(numbered, told)
    flat = [one for answers in answered.values() for one in answers]
    return RoomResult(
        groups=group_results(plain, said, kinds) + group_results(numbered, told, kinds),
        kinds=kinds,
        visual_tokens={way: mean_tokens(answered[way]) for way in WAYS},
        seconds=sum(one.seconds for one in flat),
        wrong=first_wrong(plain, said) + first_wrong(numbered, told),
        num_unparsed=sum(is_blank(one.answer) for one in flat),
        answers=[
            _answer(way, index, question, one)
            for way, questions in runs.items()
            for index, (question, one) in enumerate(zip(questions, answered[way], strict=True))
        ],
    )


def _check_kept(kept: Kept, runs: Mapping[str, Sequence[RoomQuestion]]) -> None:
    """Refuse answers to other questions: the rooms, or what is asked about them, have changed since."""
    for key, content in kept.items():
        way, index = str(key[0]), int(key[1] or 0)
        question = runs[way][index] if way in runs and index < len(runs[way]) else None
        there = content.get("question"), content.get("expected")
        if question is None or there != (shown(question, way)[0], question.expected):
            raise ConfigError(
                f"{kept.path} was begun with other questions; delete it, or choose another --output."
            )


def _answer(way: str, index: int, question: RoomQuestion, one: Answered) -> RoomAnswer:
    right = is_right(one.answer, question.expected)
    return RoomAnswer(
        way, index, question.kind, question.room, one.question, one.expected, one.answer, right, one.problem
    )
