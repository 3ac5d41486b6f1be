"""The nano skill suite: freshly drawn samples of each skill, one question each, answered greedily.

    results = evaluate_skills(model, processor, ["words", "color"], samples=500)

`suite` says what is asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from oryx.data.synthetic import Sample, Source
from oryx.errors import ConfigError
from oryx.evaluation.answers import Answered, Answerer, ModelAnswerer, answer_all, mean_tokens
from oryx.evaluation.journal import Journal, Kept, Key
from oryx.evaluation.metrics import is_blank, is_right, token_f1, wilson_interval
from oryx.evaluation.skills.suite import (
    FIRST_TEST_SEED,
    SWEEP_PIXELS,
    SWEEP_RATIOS,
    SWEEP_TESTS,
    TESTS,
    SkillTest,
    drawable_tests,
    make_test_source,
)

__all__ = [
    "FIRST_TEST_SEED",
    "SWEEP_PIXELS",
    "SWEEP_RATIOS",
    "SWEEP_TESTS",
    "TESTS",
    "SkillAnswer",
    "SkillResult",
    "SkillTest",
    "WrongAnswer",
    "drawable_tests",
    "evaluate_skills",
    "make_test_source",
    "measure_skills",
]

_KEPT_WRONG = 5


@dataclass(frozen=True)
class WrongAnswer:
    """One sample answered wrong; `make_test_source(...)[index]` draws it again."""

    index: int
    question: str
    expected: str
    answer: str


@dataclass(frozen=True)
class SkillAnswer:
    """One sample with its answer and score."""

    index: int
    question: str
    expected: str
    answer: str
    score: float
    """0 to 1."""
    problem: str | None = None
    """Why there is no answer, where a server gave none."""


@dataclass(frozen=True)
class SkillResult:
    """One test at one setting of the dial. Shares are 0 to 1."""

    test: str
    accuracy: float
    """Mean of the test's score: the share of exact answers, unless the test says otherwise."""
    interval: tuple[float, float]
    """95%, Wilson's."""
    same_answer: float
    """What the answer expected most often would score if it were always given: what needs no look."""
    num_samples: int
    num_right: int
    """Exact answers."""
    token_f1: float
    """Mean over the samples; gives credit for a description that is right in part."""
    visual_tokens: float | None
    """Mean per sample; None where a server does not tell."""
    seconds: float
    seed: int
    compression: int | None
    """None: 1 for pictures, 4 for videos, 16 for needles."""
    detail: str | None
    """None: high. Videos have no detail."""
    max_pixels: int | None
    wrong: list[WrongAnswer] = field(default_factory=list)
    """The first few."""
    num_unparsed: int = 0
    """Answers that say nothing, or never came: wrong, whatever was expected."""
    answers: list[SkillAnswer] = field(default_factory=list, repr=False)
    """All of them."""

    def to_dict(self) -> dict[str, Any]:
        """What the JSON file holds: all but the answers, which have a file of their own."""
        return {key: value for key, value in asdict(self).items() if key != "answers"}


def evaluate_skills(
    model: Any,
    processor: Any,
    skills: Sequence[str] | None = None,
    samples: int = 500,
    seed: int = FIRST_TEST_SEED,
    compression: int | None = None,
    detail: str | None = None,
    max_pixels: int | None = None,
    batch_size: int = 32,
    font_folders: Sequence[str] = (),
    pictures: str | None = None,
    progress: Callable[[str, int], None] | None = None,
) -> list[SkillResult]:
    """Measures a model on tests of the suite.

    Args:
        model, processor: as `oryx.load` gives them.
        skills: names out of `TESTS`, in the order wanted; None for all that can be drawn: without `pictures`,
            none that needs them.
        samples: fresh samples per test.
        seed: `FIRST_TEST_SEED` or above; the same seed draws the same samples.
        compression, detail, max_pixels: the dial, for every visual of every test.
        batch_size: prompts answered at once; the answers do not depend on it.
        font_folders: searched for font files besides the system's.
        pictures: folder of a store that `oryx data pictures` made, for the tests on things.
        progress: called after every batch with the test's name and the number of samples just done.

    Raises:
        ConfigError: an unknown test, a dial or number out of range, fonts that are not installed, or pictures
            that are not there. Nothing was run by then.
    """
    return measure_skills(
        ModelAnswerer(model, processor),
        skills,
        samples,
        seed,
        compression=compression,
        detail=detail,
        max_pixels=max_pixels,
        batch_size=batch_size,
        font_folders=font_folders,
        pictures=pictures,
        progress=progress,
    )


def measure_skills(
    answerer: Answerer,
    skills: Sequence[str] | None = None,
    samples: int = 500,
    seed: int = FIRST_TEST_SEED,
    compression: int | None = None,
    detail: str | None = None,
    max_pixels: int | None = None,
    batch_size: int = 32,
    font_folders: Sequence[str] = (),
    pictures: str | None = None,
    progress: Callable[[str, int], None] | None = None,
    kept: Kept | None = None,
) -> list[SkillResult]:
    """`evaluate_skills` for whoever answers.

    Args:
        kept: answers of an earlier run of the same settings; it gets those that come.

    Raises:
        ConfigError: as `evaluate_skills`.
    """
    names = drawable_tests(pictures) if skills is None else list(dict.fromkeys(skills))
    for what, value in (("samples", samples), ("batch_size", batch_size)):
        if value < 1:
            raise ConfigError(f"{what} is {value}; it must be at least 1.")
    sources = {
        name: make_test_source(name, seed, compression, detail, font_folders, pictures) for name in names
    }
    kept = Journal.in_memory() if kept is None else kept
    dials = {} if max_pixels is None else {"max_pixels": max_pixels}
    results = []
    for name, source in sources.items():

        def advance(number: int, name: str = name) -> None:
            if progress is not None:
                progress(name, number)

        answered = answer_all(
            answerer,
            [(name, compression, max_pixels, index) for index in range(samples)],
            partial(_draw, source),
            TESTS[name].max_new_tokens,
            dials,
            batch_size,
            kept,
            advance,
        )
        results.append(_result(name, seed, compression, detail, max_pixels, answered))
    return results


def _draw(source: Source, key: Key) -> Sample:
    return source[int(key[-1] or 0)]


def _result(
    name: str,
    seed: int,
    compression: int | None,
    detail: str | None,
    max_pixels: int | None,
    answered: Sequence[Answered],
) -> SkillResult:
    samples = len(answered)
    scores = [_score(name, one) for one in answered]
    right = [is_right(one.answer, one.expected) for one in answered]
    return SkillResult(
        test=name,
        accuracy=sum(scores) / samples,
        interval=wilson_interval(sum(scores), samples),
        same_answer=_score_same(name, [one.expected for one in answered]),
        num_samples=samples,
        num_right=sum(right),
        token_f1=sum(token_f1(one.answer, one.expected) for one in answered) / samples,
        visual_tokens=mean_tokens(answered),
        seconds=sum(one.seconds for one in answered),
        seed=seed,
        compression=compression,
        detail=detail,
        max_pixels=max_pixels,
        wrong=[
            WrongAnswer(index, one.question, one.expected, one.answer)
            for index, one in enumerate(answered)
            if not right[index]
        ][:_KEPT_WRONG],
        num_unparsed=sum(is_blank(one.answer) for one in answered),
        answers=[
            SkillAnswer(index, one.question, one.expected, one.answer, score, one.problem)
            for index, (one, score) in enumerate(zip(answered, scores, strict=True))
        ],
    )


def _score_same(name: str, expected: Sequence[str]) -> float:
    [(same, _)] = Counter(expected).most_common(1)
    return sum(TESTS[name].score(same, one) for one in expected) / len(expected)


def _score(name: str, one: Answered) -> float:
    return 0.0 if is_blank(one.answer) else TESTS[name].score(one.answer, one.expected)
