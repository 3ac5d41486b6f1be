"""One model, several people: questions are answered in the order in which they came."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from threading import Event

from oryx.errors import OryxError

POLL_SECONDS = 0.1


class FullError(OryxError):
    """More wait than there is room for."""


class Line:
    """A place in it is kept while the caller's iteration lasts, and for as long as it is held.

    Args:
        room: how many may be answered at a time.
        longest: how many may wait besides.
    """

    def __init__(self, room: int = 1, longest: int = 32) -> None:
        self.room = room
        self.longest = longest
        self._places: deque[object] = deque()

    def enter(self) -> object:
        """A place at the end. `leave` must be called with it.

        Raises:
            FullError: there is none left.
        """
        if len(self._places) >= self.room + self.longest:
            raise FullError(f"{self.longest} questions are waiting already; try again in a moment.")
        place = object()
        self._places.append(place)
        return place

    async def wait(self, place: object, stop: Event) -> AsyncIterator[int]:
        """How many are before this place, again and again, until it is its turn or `stop` is set."""
        while not stop.is_set():
            ahead = self._places.index(place) - self.room + 1
            if ahead <= 0:
                return
            yield ahead
            await asyncio.sleep(POLL_SECONDS)

    def leave(self, place: object) -> None:
        """Make room for the next one."""
        self._places.remove(place)

    def __len__(self) -> int:
        return len(self._places)
