"""Captions from several threads, in the order in which they come."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


class Workers(Generic[Task, Result]):
    """Threads that run `work` on what is given to them.

    They end when it is closed, and are daemons: a program that is interrupted does not wait for a server that
    never answers.
    """

    def __init__(self, work: Callable[[Task], Result], num_threads: int) -> None:
        self.num_pending = 0
        """Tasks given whose results were not taken."""
        self._work = work
        self._num_threads = num_threads
        self._closed = threading.Event()
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()  # None ends a thread
        self._results: queue.SimpleQueue[tuple[Task, Result | BaseException]] = queue.SimpleQueue()
        for _ in range(num_threads):
            threading.Thread(target=self._run, daemon=True).start()

    def give(self, task: Task) -> None:
        """Hand over a task."""
        self.num_pending += 1
        self._tasks.put(task)

    def take(self, wait: bool = True) -> tuple[Task, Result] | None:
        """A task that is done, and its result; None if none is and not `wait`. Raises what `work` raised."""
        try:
            task, result = self._results.get(block=wait)
        except queue.Empty:
            return None
        self.num_pending -= 1
        if isinstance(result, BaseException):
            raise result
        return task, result

    def close(self) -> None:
        """End the threads once what they are doing is done. Tasks that wait are never begun."""
        self._closed.set()
        for _ in range(self._num_threads):
            self._tasks.put(None)

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            if self._closed.is_set():
                continue
            try:
                self._results.put((task, self._work(task)))
            except BaseException as error:  # raised again where results are taken
                self._results.put((task, error))
