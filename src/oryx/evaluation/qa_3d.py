"""ScanQA and SQA3D: a model's answers about scanned rooms, and their scores by each rule in use.

records = read_items("marked/ScanQA_v1.0_val.eval.jsonl", "scanqa")
answers = answer_items(model, processor, records.items)
result = score_items("scanqa", records.items, answers)
result.matches["em"].share, result.captions["scanqa"]["cider"].value
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from oryx.evaluation.captions import Score, Tokens, open_meteor, score_captions, what_lacks
from oryx.evaluation.metrics import Share
from oryx.evaluation.qa_answers import (
    Benchmark,
    clean_answer,
    is_exact_answer,
    is_loose_match,
    is_refined_match,
    question_kind,
    question_kinds,
)
from oryx.evaluation.qa_records import SceneItem

if TYPE_CHECKING:
    from oryx.model.modeling import OryxForConditionalGeneration
    from oryx.processing.processor import OryxProcessor

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
    num_unreadable: int
    """Answers of which nothing is left once they are cleaned: wrong by every rule that cleans them."""
    matches: dict[str, Share]
    """Of `MATCHES`; clusters are the scenes."""
    kinds: list[QaKindResult]
    captions: dict[str, dict[str, Score | None]]
    """Protocol -> metric -> score; None where this machine lacks something."""
    lacks: dict[str, dict[str, str]]
    """Protocol -> metric -> what it needs, for those."""
    wrong: list[WrongQaAnswer] = field(default_factory=list)
    """The first few."""


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


def answer_items(
    model: OryxForConditionalGeneration,
    processor: OryxProcessor,
    items: Sequence[SceneItem],
    max_new_tokens: int = 32,
    done: Mapping[str, str] | None = None,
    keep: Callable[[str, str], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, str]:
    """The greedy answer to each item, by id. The views of a scene are encoded once for all its questions.

    Args:
        done: answers of before, which are not asked again.
        keep: called with the id and the answer as soon as it is there.
        progress: called with the number of answers and of items.

    Raises:
        ConfigError: a prompt that is longer than the model reads.
        MediaError: a view that cannot be read.
    """
    from oryx.engine.session import Session

    answers = {item.id: done[item.id] for item in items if item.id in done} if done else {}
    groups: dict[tuple[object, ...], list[SceneItem]] = {}
    for item in items:
        if item.id not in answers:
            groups.setdefault((item.views, item.compression), []).append(item)
    for group in groups.values():
        session = Session(model, processor)
        session.add(group[0].visual)
        for item in group:
            answer = session.ask(item.prompt, follow_up=False, max_new_tokens=max_new_tokens).text
            answers[item.id] = answer
            if keep is not None:
                keep(item.id, answer)
            if progress is not None:
                progress(len(answers), len(items))
    return answers


def score_items(benchmark: Benchmark, items: Sequence[SceneItem], answers: Mapping[str, str]) -> QaResult:
    """Score the answers to items, at least one, each of which has one.

    Raises:
        ConfigError: Java is there and failed.
    """
    said = [answers[item.id].strip() for item in items]
    right = [match_answer(benchmark, answer, item.answers) for answer, item in zip(said, items)]
    scenes = [item.scene for item in items]
    kinds = [question_kind(benchmark, item.question) for item in items]
    return QaResult(
        num_questions=len(items),
        num_scenes=len(set(scenes)),
        num_unreadable=sum(not clean_answer(answer).strip() for answer in said),
        matches=_shares(benchmark, right, scenes, range(len(items))),
        kinds=[
            QaKindResult(kind, len(own), _shares(benchmark, right, scenes, own))
            for kind in question_kinds(benchmark)
            if (own := [index for index, other in enumerate(kinds) if other == kind])
        ],
        captions=caption_scores(said, [item.answers for item in items], scenes),
        lacks={name: what_lacks(tokens) for name, (_, tokens) in PROTOCOLS.items()},
        wrong=[
            WrongQaAnswer(item.id, item.question, answer, item.answers)
            for item, answer, rules in zip(items, said, right)
            if not rules["em_refined"]
        ][:_KEPT_WRONG],
    )


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
