"""Loading vLLM takes minutes, in a thread that cannot be cancelled: so its processes are ended instead."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from oryx.serving.engine import EngineStopped

PROCESSES = "EngineCore"
"""What the names of vLLM's processes under this one begin with; those end their own."""
_PATIENCE = 5.0
"""Seconds for them to end when they are told to, before they are killed."""


class Loading:
    """A function that starts vLLM, at work in a thread.

    Args:
        load: is called with another function, which it calls in its turn before it starts processes; that one
            raises EngineStopped where they are not wanted any more.
    """

    def __init__(self, load: Callable[[Callable[[], None]], Any]) -> None:
        self._is_wanted = True
        self._task = asyncio.ensure_future(asyncio.to_thread(load, self._check_wanted))

    async def result(self) -> Any:
        """What the function returns or raises. It goes on where this is cancelled; then call `abandon`."""
        return await asyncio.shield(self._task)

    async def abandon(self) -> Any:
        """End what has been started. Returns what the function did, if it was too far; None else."""
        self._is_wanted = False
        loop = asyncio.get_running_loop()
        until = loop.time() + _PATIENCE
        while not self._task.done():
            for process in multiprocessing.active_children():
                if process.name.startswith(PROCESSES):
                    process.terminate() if loop.time() < until else process.kill()
            await asyncio.wait([self._task], timeout=0.2)
        with suppress(Exception):  # there is nobody to tell
            return self._task.result()

    def _check_wanted(self) -> None:
        if not self._is_wanted:
            raise EngineStopped("the engine was stopped.")
