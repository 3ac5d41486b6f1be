"""LongVideoBench: columns id, video_path, question, option0 to option4 ("N/A" for none), correct_choice,
duration_group, question_category.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from oryx.evaluation.lmms.options import read_option
from oryx.evaluation.lmms.videos import video_folder

logger = logging.getLogger(__name__)
_NONE = "N/A"


def doc_to_visual(doc: dict[str, Any]) -> list[str]:
    """The path of the video."""
    return [str(video_folder("datasets", "longvideobench", "videos") / doc["video_path"])]


def doc_to_text(doc: dict[str, Any], lmms_eval_specific_kwargs: dict[str, str]) -> str:
    """The question and its options, a line each."""
    lines = [doc["question"], *(f"{letter}. {text}" for letter, text in _options(doc).items())]
    kwargs = lmms_eval_specific_kwargs
    return kwargs["pre_prompt"] + "\n".join(lines) + "\n" + kwargs["post_prompt"]


def doc_to_target(doc: dict[str, Any]) -> str:
    """The right letter."""
    return chr(ord("A") + doc["correct_choice"])


def process_results(doc: dict[str, Any], results: Sequence[str]) -> dict[str, Any]:
    """Whether the answer is right, with the groups that are reported, and whether it names no option."""
    letter = read_option(results[0], _options(doc))
    score = {
        "id": doc["id"],
        "duration_group": doc["duration_group"],
        "question_category": doc["question_category"],
        "score": float(letter == doc_to_target(doc)),
    }
    return {"lvb_acc": score, "unparsed": float(letter is None)}


def accuracy(values: Sequence[dict[str, Any]]) -> float:
    """The share of right answers; that of each length and each kind of question goes into the log."""
    groups: dict[str, list[float]] = defaultdict(list)
    for value in values:
        for key in ("duration_group", "question_category"):
            groups[f"{key} {value[key]}"].append(value["score"])
    for name, scores in sorted(groups.items()):
        logger.warning("LongVideoBench, %s: %.4f of %d", name, sum(scores) / len(scores), len(scores))
    return sum(value["score"] for value in values) / len(values)


def _options(doc: dict[str, Any]) -> dict[str, str]:
    texts = [doc.get(f"option{index}") for index in range(5)]
    given = [text for text in texts if text is not None and text != _NONE]
    return {chr(ord("A") + index): text for index, text in enumerate(given)}
