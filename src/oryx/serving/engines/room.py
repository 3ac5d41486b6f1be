"""Who may run: places of requests, and pages of the key-value cache."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from oryx.serving.engine import EngineStopped


@dataclass(frozen=True)
class Share:
    """What a request takes until it ends."""

    places: int
    pages: int


class Room:
    """Gives shares of a whole, in the order of asking. For one event loop.

    Who gets a share has room for its longest answer, so no request ever has to make way for another.
    """

    def __init__(self, places: int, pages: int) -> None:
        self.whole = Share(places, pages)
        self._free_places, self._free_pages = places, pages
        self._waiting: deque[tuple[Share, asyncio.Future[None]]] = deque()
        self._closed: str | None = None

    @property
    def num_wanted(self) -> int:
        """Places that are taken or waited for."""
        waiting = sum(share.places for share, turn in self._waiting if not turn.cancelled())
        return self.whole.places - self._free_places + waiting

    async def take(self, share: Share) -> None:
        """Wait for a share, which must not be larger than the whole. `give` it back.

        Raises:
            EngineStopped: `close` was called.
        """
        if self._closed:
            raise EngineStopped(self._closed)
        if not self._waiting and self._fits(share):
            self._keep(share)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((share, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.give(share)  # it came just then
            else:
                self._waiting = deque(entry for entry in self._waiting if entry[1] is not turn)
                self._next()
            raise

    def give(self, share: Share) -> None:
        """Back."""
        self._free_places += share.places
        self._free_pages += share.pages
        self._next()

    def close(self, reason: str) -> None:
        """Whoever waits, or will, gets `EngineStopped`."""
        self._closed = reason
        while self._waiting:
            _, turn = self._waiting.popleft()
            if not turn.done():
                turn.set_exception(EngineStopped(reason))

    def _fits(self, share: Share) -> bool:
        return share.places <= self._free_places and share.pages <= self._free_pages

    def _keep(self, share: Share) -> None:
        self._free_places -= share.places
        self._free_pages -= share.pages

    def _next(self) -> None:
        while self._waiting:
            share, turn = self._waiting[0]
            if turn.cancelled():
                self._waiting.popleft()
            elif self._fits(share):
                self._waiting.popleft()
                self._keep(share)
                turn.set_result(None)
            else:
                return
