"""Workers that answer without a model, and a batch of them as a program of its own, which tests may kill.

python fake_batch.py IN OUT [SECONDS]      each row takes about SECONDS
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from oryx.errors import OryxError
from oryx.serving.batch.inputs import Row
from oryx.serving.batch.job import Batch, Interrupted, run_batch


class FakeWorkers:
    """Answer with the question in capitals.

    Questions that begin with "fail" have an error, "die" ends the workers, "crash" the process, and "hold" is
    answered only once `release` is set.
    """

    def __init__(
        self, num_slots: int = 4, seconds: float = 0.0, start_error: Exception | None = None
    ) -> None:
        self.num_slots = num_slots
        self.seconds = seconds
        self.start_error = start_error
        self.asked: list[Any] = []
        """Ids, in the order in which they were begun."""
        self.running = self.most_running = 0
        self.release = asyncio.Event()
        self.has_stopped = False

    async def start(self) -> None:
        if self.start_error is not None:
            raise self.start_error

    async def stop(self) -> None:
        self.has_stopped = True

    async def answer(self, row: Row) -> Mapping[str, Any]:
        assert row.content is not None
        self.asked.append(row.id)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            question = row.content["question"]
            await asyncio.sleep(random.random() * 2 * self.seconds)
            if question.startswith("hold"):
                await self.release.wait()
            if question.startswith("crash"):
                os._exit(1)
            if question.startswith("die"):
                raise RuntimeError("the workers are dead")
            if question.startswith("fail"):
                return {"error": f"{question} is no question."}
            usage = {"prompt_tokens": len(question), "visual_tokens": 0, "completion_tokens": 1}
            return {"answer": question.upper(), "finish_reason": "stop", "usage": usage}
        finally:
            self.running -= 1


class NoWatcher:
    """Looks away."""

    def begin(self, total: int, done: int, errors: int) -> None: ...

    def advance(self, is_error: bool) -> None: ...

    def say(self, doing: str) -> None: ...

    def loading(self, label: str) -> None: ...

    def tell(self, sentence: str) -> None: ...


def main() -> int:
    source, out = Path(sys.argv[1]), Path(sys.argv[2])
    seconds = float(sys.argv[3]) if len(sys.argv) > 3 else 0.0
    try:
        run_batch(Batch(source, out, {"--model": "fake"}), lambda: FakeWorkers(8, seconds), NoWatcher())
    except Interrupted:
        return 130
    except OryxError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
