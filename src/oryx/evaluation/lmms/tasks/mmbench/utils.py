"""MMBench: columns question, hint, A to D ("nan" for none), answer (a letter), index, category."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from oryx.evaluation.lmms.options import score_option

LETTERS = "ABCD"
_NONE = (None, "nan")


def process_results(doc: dict[str, Any], results: Sequence[str]) -> dict[str, Any]:
    """lmms-eval's score of the letter that the answer names, and whether it names none."""
    from lmms_eval.tasks.mmbench.en_utils import mmbench_process_results

    options = {letter: str(doc[letter]) for letter in LETTERS if doc.get(letter) not in _NONE}
    scores = score_option(mmbench_process_results, doc, results, options)
    del scores["submission"]  # a table of answers for a server that takes those of the test split alone
    return scores
