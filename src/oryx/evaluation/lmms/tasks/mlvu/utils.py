"""MLVU: columns question (its options a line each, "(A) text"), answer (a letter), task_type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from oryx.evaluation.lmms.options import score_option

LETTERS = "ABCD"


def process_results(doc: dict[str, Any], results: Sequence[str]) -> dict[str, Any]:
    """lmms-eval's score of the letter that the answer names, and whether it names none."""
    from lmms_eval.tasks.mlvu.utils import mlvu_process_results

    return score_option(mlvu_process_results, doc, results, LETTERS)
