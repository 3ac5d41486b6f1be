"""Places for requests: so many are answered at a time, some wait their turn, and the rest are sent away."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from oryx.serving.http.errors import BusyError

LONGEST_RETRY = 60
"""Seconds: more is never asked of a client."""


class Admission:
    """First come, first served.

    Args:
        max_places: requests that are encoded or answered at a time.
        max_queue: requests that may wait.
        queue_seconds: how long one waits.
    """

    def __init__(self, max_places: int, max_queue: int, queue_seconds: float) -> None:
        self.max_places = max_places
        self.max_queue = max_queue
        self.queue_seconds = queue_seconds
        self.num_running = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._seconds = 1.0  # that a place was held lately, on average

    @property
    def num_waiting(self) -> int:
        """Requests in the queue."""
        return len(self._waiting)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Holds a place; the block may be left in any way.

        Raises:
            BusyError: the queue is full (429), or no place became free in time (503).
        """
        await self._enter()
        began = time.monotonic()
        try:
            yield
        finally:
            self._seconds += 0.1 * (time.monotonic() - began - self._seconds)
            self._leave()

    async def _enter(self) -> None:
        if self.num_running < self.max_places:
            self.num_running += 1
            return
        if len(self._waiting) >= self.max_queue:
            waiting = f" and {self.max_queue} wait" if self.max_queue else ""
            raise BusyError(
                f"{self.max_places} requests are being answered{waiting}; ask again later.",
                "queue_full",
                status=429,
                retry_after=self._retry_after(),
            )
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(self.queue_seconds):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self._leave()  # the place came in the very moment
            elif turn in self._waiting:  # not there if a leaving request has just passed it over
                self._waiting.remove(turn)
            if isinstance(error, TimeoutError):
                message = f"no place became free in {self.queue_seconds:g} s; ask again later."
                raise BusyError(message, "queue_timeout", retry_after=self._retry_after()) from None
            raise

    def _leave(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)  # the place passes on
                return
        self.num_running -= 1

    def _retry_after(self) -> int:
        rounds = (len(self._waiting) + 1) / self.max_places
        return max(1, min(LONGEST_RETRY, math.ceil(rounds * self._seconds)))
