"""VideoMME: columns question, options (a list of "A. text"), answer (a letter), videoID, duration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from oryx.evaluation.lmms.options import score_option


def process_results(doc: dict[str, Any], results: Sequence[str]) -> dict[str, Any]:
    """lmms-eval's score of the letter that the answer names, and whether it names none."""
    from lmms_eval.tasks.videomme.utils import videomme_process_results

    options = {option[:1]: option[2:].strip(" .") for option in doc["options"]}
    return score_option(videomme_process_results, doc, results, options)
