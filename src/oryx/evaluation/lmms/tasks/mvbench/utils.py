"""MVBench: columns video, question, candidates, answer (the text of the right candidate)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from oryx.evaluation.lmms.options import read_option


def process_results(doc: dict[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Whether the answer is right, and whether it names no option."""
    letters = [chr(ord("A") + index) for index in range(len(doc["candidates"]))]
    letter = read_option(results[0], letters)
    right = letters[list(doc["candidates"]).index(doc["answer"])]
    return {"mvbench_accuracy": float(letter == right), "unparsed": float(letter is None)}


def accuracy(values: Sequence[float]) -> float:
    """Their mean in percent, as lmms-eval gives it."""
    return 100 * sum(values) / len(values)
