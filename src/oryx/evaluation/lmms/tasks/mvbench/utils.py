"""MVBench: columns video, question, candidates, answer (the text of the right candidate)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def process_results(doc: dict[str, Any], results: Sequence[str]) -> dict[str, float]:
    """lmms-eval's score of the answer, and whether it names no option."""
    from lmms_eval.tasks.mvbench.utils import mcq_acc

    answer = results[0]
    letters = [chr(ord("A") + index) for index in range(len(doc["candidates"]))]
    right = letters[list(doc["candidates"]).index(doc["answer"])]
    scores = {letter: mcq_acc(letter, answer) if answer else 0 for letter in letters}
    return {"mvbench_accuracy": float(scores[right]), "unparsed": float(not any(scores.values()))}


def accuracy(values: Sequence[float]) -> float:
    """Their mean in percent, as lmms-eval gives it."""
    return 100 * sum(values) / len(values)
