"""Video detail description: columns video_name, question, answer.

The judge is asked in lmms-eval's words. What it replies is read here: only a grade counts.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from oryx.evaluation.lmms.judge import grade
from oryx.evaluation.lmms.videos import find_video, video_folder

logger = logging.getLogger(__name__)
HIGHEST = 5
REPLY_TOKENS = 64


def doc_to_visual(doc: dict[str, Any]) -> list[str]:
    """The path of the video."""
    return [find_video(video_folder("videochatgpt", "Test_Videos"), doc["video_name"])]


def doc_to_text(doc: dict[str, Any]) -> str:
    """The question, as it is."""
    return doc["question"]


def process_results(doc: dict[str, Any], results: Sequence[str]) -> dict[str, float]:
    """The judge's grade, 0 if it gives none."""
    from lmms_eval.tasks.video_detail_description.utils import get_eval_generic

    given = grade(
        lambda: get_eval_generic(doc["question"], doc["answer"], results[0], REPLY_TOKENS)[0],
        HIGHEST,
        results,
    )
    if given.problem:
        logger.warning("video detail of %s: %s", doc["video_name"], given.problem)
    return {"detail": float(given.points), "judge_failures": float(given.num_failures)}
