"""Answers that cannot be read, counted while they are made. Imported by lmms-eval alone, as `model`."""

from __future__ import annotations

from collections.abc import Sequence

from loguru import logger

from oryx.evaluation.lmms.benchmarks import find_benchmark
from oryx.evaluation.lmms.options import read_option
from oryx.evaluation.lmms.requests import Request

_LETTERS = "ABCDEFGH"


class Tally:
    """Counts, by task, answers that say nothing a task could read."""

    def __init__(self) -> None:
        self._num_answers: dict[str, int] = {}
        self._num_unread: dict[str, int] = {}

    def count(self, request: Request, answer: str) -> None:
        """Take an answer into account."""
        benchmark = find_benchmark(request.task)
        has_options = benchmark is not None and benchmark.has_options
        if request.is_padding:
            return
        self._num_answers[request.task] = self._num_answers.get(request.task, 0) + 1
        if not answer or (has_options and read_option(answer, _LETTERS) is None):
            self._num_unread[request.task] = self._num_unread.get(request.task, 0) + 1

    def tell(self, skipped: dict[int, str], asked: Sequence[Request]) -> None:
        """Write the counts to lmms-eval's log."""
        for task, number in self._num_unread.items():
            without = sum(asked[index].task == task for index in skipped)
            logger.warning(
                f"{task}: {number} of the {self._num_answers[task]} answers made now are empty or name no "
                f"option ({without} of them were not asked)."
            )
