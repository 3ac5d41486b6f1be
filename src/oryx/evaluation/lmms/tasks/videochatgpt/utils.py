"""VideoChatGPT: columns video_name, question, answer; in the consistency split question_1 or question_2 is
"None".

The judge is asked in lmms-eval's words. What it replies is read here: only a grade counts.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import Any

from oryx.evaluation.lmms.judge import Grade, grade
from oryx.evaluation.lmms.videos import find_video, video_folder

logger = logging.getLogger(__name__)
HIGHEST = 5
REPLY_TOKENS = 64
_GENERIC = ("correctness", "detailed_orientation", "context")
_NONE = "None"


def doc_to_visual(doc: dict[str, Any]) -> list[str]:
    """The path of the video."""
    return [find_video(video_folder("videochatgpt", "Test_Videos"), doc["video_name"])]


def doc_to_text(doc: dict[str, Any]) -> str:
    """The question, as it is; of the consistency split the one that is there."""
    if "question" in doc and doc["question"] is not None:
        return doc["question"]
    return doc["question_1"] if doc["question_1"] != _NONE else doc["question_2"]


def process_generic(doc: dict[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Grades of correctness, detail and context."""
    return _graded(doc, results[0], _GENERIC)


def process_temporal(doc: dict[str, Any], results: Sequence[str]) -> dict[str, float]:
    """The grade of temporal understanding."""
    return _graded(doc, results[0], ("temporal",))


def process_consistency(doc: dict[str, Any], results: Sequence[str]) -> dict[str, Any]:
    """The answer; two of them are graded together when all are there."""
    number = 1 if doc["question_1"] != _NONE else 2
    said = {"video": doc["video_name"], "answer": doc["answer"], "question": doc_to_text(doc)}
    said |= {"number": number, "said": results[0]}
    return {"consistency": said, "judge_failures": said}


def mean_consistency(values: Sequence[dict[str, Any]]) -> float:
    """The mean grade of the pairs, 0 to 5, where a failed one is 0."""
    grades = _grade_pairs(values)
    return sum(one.points for one in grades) / len(grades) if grades else 0.0


def consistency_failures(values: Sequence[dict[str, Any]]) -> float:
    """Pairs that the judge gave no grade."""
    return float(sum(one.num_failures for one in _grade_pairs(values)))


def _graded(doc: dict[str, Any], answer: str, aspects: Sequence[str]) -> dict[str, float]:
    from lmms_eval.tasks.videochatgpt.utils import get_eval_generic

    def ask(aspect: str) -> Callable[[], str]:
        return lambda: get_eval_generic(doc["question"], doc["answer"], answer, aspect, REPLY_TOKENS)[0]

    grades = {aspect: grade(ask(aspect), HIGHEST, [answer]) for aspect in aspects}
    for aspect, given in grades.items():
        if given.problem:
            logger.warning("VideoChatGPT, %s of %s: %s", aspect, doc["video_name"], given.problem)
    scores = {aspect: float(given.points) for aspect, given in grades.items()}
    return {**scores, "judge_failures": float(sum(given.num_failures for given in grades.values()))}


_pairs: dict[tuple[str, ...], Grade] = {}
"""Grades of pairs by what was asked: both metrics of the consistency split need them, the judge once."""


def _grade_pairs(values: Sequence[dict[str, Any]]) -> list[Grade]:
    """A grade for each pair of questions on the same video with the same answer, in their order."""
    asked: dict[tuple[str, str], tuple[list[Any], list[Any]]] = defaultdict(lambda: ([], []))
    for value in values:
        asked[value["video"], value["answer"]][value["number"] - 1].append(value)
    return [
        _grade_pair(video, answer, first, second)
        for (video, answer), questions in asked.items()
        for first, second in zip_longest(*questions)
    ]


def _grade_pair(video: str, answer: str, first: Any, second: Any) -> Grade:
    from lmms_eval.tasks.videochatgpt.utils import get_eval_consistency

    if first is None or second is None:
        given = Grade(0, "the other question of the pair was not asked")
        logger.warning("VideoChatGPT, consistency of %s: %s", video, given.problem)
        return given
    said = (first["said"], second["said"])
    asked = (first["question"], second["question"], answer, *said)
    if asked not in _pairs:
        _pairs[asked] = grade(lambda: get_eval_consistency(*asked, REPLY_TOKENS)[0], HIGHEST, said)
        if _pairs[asked].problem:
            logger.warning("VideoChatGPT, consistency of %s: %s", video, _pairs[asked].problem)
    return _pairs[asked]
