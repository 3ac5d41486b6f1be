"""ScanQA and SQA3D: a model's answers about scanned rooms, and their scores by each rule in use.

records = read_items("marked/ScanQA_v1.0_val.eval.jsonl", "scanqa")
result = evaluate_qa(model, processor, "scanqa", records.items)
result.matches["em"].share, result.captions["scanqa"]["cider"].value
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from oryx.data.synthetic import Sample
from oryx.evaluation.answers import Answered, Answerer, answer_all, mean_tokens
from oryx.evaluation.journal import Journal, Kept, Key
from oryx.evaluation.metrics import Share
from oryx.evaluation.scenes.asking import SceneAnswerer
from oryx.evaluation.scenes.captions import Score, Tokens, open_meteor, score_captions, what_lacks
from oryx.evaluation.scenes.records import SceneItem
from oryx.evaluation.scenes.rules import (
    Benchmark,
    clean_answer,
    is_empty_answer,
    is_exact_answer,
    is_loose_match,
    is_refined_match,
    question_kind,
    question_kinds,
)

PROTOCOLS: dict[str, tuple[bool, Tokens]] = {
    "scanqa": (False, "ptb"),
    "llava3d": (True, "ptb"),
    "leo": (True, "spaces"),
}
"""How caption metrics read answers: whether cleaned first, and where words end. By ScanQA's own script,
LLaVA-3D's and LEO's: published numbers differ in this."""

_KEPT_WRONG = 20


@dataclass(frozen=True)
class QaKindResult:
    """The questions of one kind; clusters are the scenes."""

    name: str
    num_questions: int
    matches: dict[str, Share]


@dataclass(frozen=True)
class QaAnswer:
    """One question with its answer and scores."""

    id: str
    scene: str
    kind: str
    question: str
    references: tuple[str, ...]
    answer: str
    right: dict[str, bool]
    """By each rule."""
    problem: str | None = None
    """Why there is no answer, where a server gave none."""


@dataclass(frozen=True)
class WrongQaAnswer:
    """One answer that is none of the references, by LEO's refined rule."""

    id: str
    question: str
    answer: str
    references: tuple[str, ...]


@dataclass(frozen=True)
class QaResult:
    """One model."""

    num_questions: int
    num_scenes: int
    num_unparsed: int
    """Answers of which nothing is left once they are cleaned: wrong by every rule that cleans them."""
    visual_tokens: float | None
    """Mean of a prompt; None where a server does not tell."""
    matches: dict[str, Share]
    """Of `MATCHES`; clusters are the scenes."""
    kinds: list[QaKindResult]
    captions: dict[str, dict[str, Score | None]]
    """Protocol -> metric -> score; None where this machine lacks something."""
    lacks: dict[str, dict[str, str]]
    """Protocol -> metric -> what it needs, for those."""
    wrong: list[WrongQaAnswer] = field(default_factory=list)
    """The first few."""
    answers: list[QaAnswer] = field(default_factory=list, repr=False)
    """All of them."""

    @property
    def is_whole(self) -> bool:
        """Whether no metric lacks anything."""
        return not any(self.lacks.values())

    def to_dict(self) -> dict[str, Any]:
        """What the JSON file holds: all but the answers, which have a file of their own."""
        return {key: value for key, value in asdict(self).items() if key != "answers"}


MATCHES = {
    "em": "the answer is a reference, letter for letter (ScanQA's own EM@1, and SQA3D's accuracy)",
    "em_cleaned": "the same, both cleaned first (EM of LEO and others)",
    "em_refined": "one holds the other, both cleaned (EM-R of LEO and others)",
    "loose": "a reference holds the cleaned answer or shares a word with it (SQA3D's script for LLMs)",
}
"""Rules of what is right. The last is of SQA3D alone."""


def rules_of(benchmark: Benchmark) -> tuple[str, ...]:
    """The rules of `MATCHES` that a benchmark is scored by."""
    return tuple(rule for rule in MATCHES if benchmark == "sqa3d" or rule != "loose")


def match_answer(benchmark: Benchmark, answer: str, references: Sequence[str]) -> dict[str, bool]:
    """By each rule of the benchmark, whether the answer is right."""
    said, wanted = clean_answer(answer), [clean_answer(reference) for reference in references]
    is_exact = is_exact_answer(said, wanted)
    matches = {
        "em": is_exact_answer(answer, references),
        "em_cleaned": is_exact,
        "em_refined": is_exact or is_refined_match(said, wanted),
    }
    if benchmark == "sqa3d":
        matches["loose"] = is_loose_match(said, references)
    return matches


def evaluate_qa(
    model: Any,
    processor: Any,
    benchmark: Benchmark,
    items: Sequence[SceneItem],
    max_new_tokens: int = 32,
    progress: Callable[[int, int], None] | None = None,
) -> QaResult:
    """Measures a model on items, at least one.

    Args:
        model, processor: as `oryx.load` gives them.
        max_new_tokens: cap on each answer.
        progress: called with how many questions are answered, and all.

    Raises:
        ConfigError: a prompt that is longer than the model reads, or Java is there and failed.
        MediaError: a view that cannot be read.
    """
    return measure_qa(SceneAnswerer(model, processor), benchmark, items, max_new_tokens, progress=progress)


def measure_qa(
    answerer: Answerer | None,
    benchmark: Benchmark,
    items: Sequence[SceneItem],
    max_new_tokens: int = 32,
    batch_size: int = 1,
    progress: Callable[[int, int], None] | None = None,
    kept: Kept | None = None,
) -> QaResult:
    """`evaluate_qa` for whoever answers.

    Args:
        answerer: asked scene by scene; may be None where `are_kept` says that all answers are there.
        batch_size: questions asked at once.
        kept: answers of an earlier run to the same records; it gets those that come.

    Raises:
        ConfigError, MediaError: as `evaluate_qa`; or the kept answers cannot be read.
    """
    by_key = {_key(item): item for item in items}
    scenes: dict[tuple[object, ...], list[Key]] = {}
    for key, item in by_key.items():
        scenes.setdefault((item.views, item.compression), []).append(key)
    keys = [key for own in scenes.values() for key in own]
    done = 0

    def advance(number: int) -> None:
        nonlocal done
        done += number
        if progress is not None:
            progress(done, len(items))

    def draw(key: Key) -> Sample:
        item = by_key[key]
        said = (("human", item.prompt), ("gpt", " | ".join(item.answers)))
        return Sample(benchmark, [item.visual], [{"from": who, "value": text} for who, text in said])

    kept = Journal.in_memory() if kept is None else kept
    answered = answer_all(answerer, keys, draw, max_new_tokens, {}, batch_size, kept, advance)
    found = dict(zip(keys, answered, strict=True))
    return score_items(benchmark, items, [found[_key(item)] for item in items])


def are_kept(items: Sequence[SceneItem], kept: Kept) -> bool:
    """Whether every item was answered before."""
    return all(_key(item) in kept for item in items)


def score_items(benchmark: Benchmark, items: Sequence[SceneItem], answered: Sequence[Answered]) -> QaResult:
    """Score the answers to items, at least one, in their order.

    Raises:
        ConfigError: Java is there and failed.
    """
    said = [one.answer.strip() for one in answered]
    right = [match_answer(benchmark, answer, item.answers) for answer, item in zip(said, items, strict=True)]
    scenes = [item.scene for item in items]
    kinds = [question_kind(benchmark, item.question) for item in items]
    answers = [
        QaAnswer(item.id, item.scene, kind, item.question, item.answers, answer, rules, one.problem)
        for item, kind, answer, rules, one in zip(items, kinds, said, right, answered)
    ]
    return QaResult(
        num_questions=len(items),
        num_scenes=len(set(scenes)),
        num_unparsed=sum(map(is_empty_answer, said)),
        visual_tokens=mean_tokens(answered),
        matches=_shares(benchmark, right, scenes, range(len(items))),
        kinds=[
            QaKindResult(kind, len(own), _shares(benchmark, right, scenes, own))
            for kind in question_kinds(benchmark)
            if (own := [index for index, other in enumerate(kinds) if other == kind])
        ],
        captions=caption_scores(said, [item.answers for item in items], scenes),
        lacks=lacks_here(),
        wrong=[
            WrongQaAnswer(one.id, one.question, one.answer, one.references)
            for one in answers
            if not one.right["em_refined"]
        ][:_KEPT_WRONG],
        answers=answers,
    )


def lacks_here() -> dict[str, dict[str, str]]:
    """Protocol -> metric -> what it needs, for those that cannot be measured on this machine."""
    return {name: what_lacks(tokens) for name, (_, tokens) in PROTOCOLS.items()}


def caption_scores(
    answers: Sequence[str], references: Sequence[Sequence[str]], scenes: Sequence[str]
) -> dict[str, dict[str, Score | None]]:
    """Protocol -> metric -> score, of each of `PROTOCOLS`; see `score_captions`."""
    cleaned = [clean_answer(answer) for answer in answers]
    cleaned_references = [[clean_answer(reference) for reference in several] for several in references]
    with open_meteor() as meteor:
        return {
            name: score_captions(cleaned, cleaned_references, scenes, tokens, meteor)
            if is_clean
            else score_captions(answers, references, scenes, tokens, meteor)
            for name, (is_clean, tokens) in PROTOCOLS.items()
        }


def _shares(
    benchmark: Benchmark, right: Sequence[Mapping[str, bool]], scenes: Sequence[str], own: Sequence[int]
) -> dict[str, Share]:
    return {
        rule: Share.of([right[index][rule] for index in own], [scenes[index] for index in own])
        for rule in rules_of(benchmark)
    }


def _key(item: SceneItem) -> Key:
    return (item.id,)
