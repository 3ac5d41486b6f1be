"""Whether the server answers, and when it may end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

from oryx.serving.http.errors import BusyError

State = Literal["starting", "ready", "draining", "dead"]

LAST_SECONDS = 2.0
"""For clients to be told that their answers end here."""

_REFUSALS = {
    "starting": "the model is still loading; ask again in a moment.",
    "draining": "the server is shutting down and takes no new requests.",
    "dead": "the engine has stopped; the server ends.",
}


class Lifecycle:
    """The server's state, and how many requests are being answered."""

    def __init__(self) -> None:
        self.state: State = "starting"
        self.num_active = 0
        self.cut = asyncio.Event()
        """Set when answers that still run must end at once."""
        self.died = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def refusal(self) -> BusyError | None:
        """Why a request is not taken now; None if it is."""
        if self.state == "ready":
            return None
        return BusyError(_REFUSALS[self.state], f"server_{self.state}")

    def ready(self) -> None:
        """The engine runs. Does nothing if the end has begun already."""
        if self.state == "starting":
            self.state = "ready"

    def drain(self) -> None:
        """Take no more; answers go on."""
        if self.state != "dead":
            self.state = "draining"

    def die(self) -> None:
        """The engine is gone."""
        if self.state == "ready":
            self.state = "dead"
            self.died.set()

    @contextmanager
    def active(self) -> Iterator[None]:
        """Around a request that is being answered."""
        self.num_active += 1
        self._idle.clear()
        try:
            yield
        finally:
            self.num_active -= 1
            if not self.num_active:
                self._idle.set()

    async def finish(self, seconds: float) -> None:
        """Wait until nothing is being answered; after `seconds`, end what still is."""
        for patience in (seconds, LAST_SECONDS):
            with suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await self._idle.wait()
                    return
            self.cut.set()
