"""A row to its answer on one machine: encoded in a worker process while others are answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any, Protocol, cast

from oryx.errors import OryxError
from oryx.serving.batch.inputs import Row
from oryx.serving.batch.requests import RowDefaults, read_row
from oryx.serving.encoding import EncodingJob
from oryx.serving.engine import Engine, EngineStopped, Prompt, Sampling

BUSY = 503
"""Status of an error that is the workers' own and goes by."""
PATIENCE_SECONDS = (1, 2, 4, 8, 16, 30, 30, 30)
"""Pauses between tries of a row that the encoding workers cannot take at the moment."""
HELD_BYTES = 4 * 2**30
"""Of prompts that are encoded and not answered yet; above, no other row is begun."""


class Pool(Protocol):
    """Encodes jobs in other processes (`EncodingPool`)."""

    async def start(self) -> None:
        """Start the workers, or raise `OryxError`."""

    async def stop(self) -> None:
        """End them."""

    async def encode(self, job: EncodingJob) -> Prompt:
        """The prompt of a job. Raises OryxError for what is wrong with it; `status` 503 if nothing is."""


class LocalWorkers:
    """An engine and the workers that encode for it. See `running.Workers`.

    Args:
        num_slots: rows encoded, waiting or answered at a time.
        num_encoders: rows encoded at a time: as many as the pool has workers.
        held_bytes: of encoded prompts, above which the next row waits.
    """

    def __init__(
        self,
        engine: Engine,
        pool: Pool,
        defaults: RowDefaults,
        num_slots: int,
        num_encoders: int = 1,
        held_bytes: int = HELD_BYTES,
    ) -> None:
        self.engine, self.pool = engine, pool
        self.num_slots = num_slots
        self._defaults = defaults
        self._room = _Room(held_bytes)
        # What a prompt takes is known once it is encoded, so no more than these go beyond the limit.
        self._encoders = asyncio.Semaphore(num_encoders + 1)  # one is handed over meanwhile

    async def start(self) -> None:
        """Load the model and start the workers, side by side.

        Raises:
            OryxError: one of them cannot.
        """
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.engine.start())
                group.create_task(self.pool.start())
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def stop(self) -> None:
        """End both."""
        await asyncio.gather(self.engine.stop(), self.pool.stop())

    async def answer(self, row: Row) -> dict[str, Any]:
        """`{"answer", "finish_reason", "usage"}`, or `{"error"}` for what is wrong with the row.

        Raises:
            EngineStopped: the engine has died, or the workers have been gone for long.
        """
        try:
            job, sampling = await asyncio.to_thread(read_row, row, self._defaults)
            async with self._room.held() as hold:
                async with self._encoders:
                    await self._room.wait()
                    prompt = await self._encode(job)
                    hold(_num_bytes(prompt))
                return await self._generate(prompt, sampling, f"row-{row.index}")
        except EngineStopped:
            raise
        except OryxError as error:
            return {"error": _sentence(str(error))}
        except Exception as error:  # of one row among many; --retry-errors asks it again
            return {"error": _sentence(f"{type(error).__name__}: {error}")}

    async def _encode(self, job: EncodingJob) -> Prompt:
        for pause in PATIENCE_SECONDS:
            try:
                return await self.pool.encode(job)
            except OryxError as error:
                if getattr(error, "status", None) != BUSY:
                    raise
                reason = str(error)
            await asyncio.sleep(pause)
        raise EngineStopped(f"the workers that encode are gone: {reason}")

    async def _generate(self, prompt: Prompt, sampling: Sampling, request_id: str) -> dict[str, Any]:
        texts, num_tokens, reason = [], 0, None
        pieces = cast(Any, self.engine.generate(prompt, sampling, request_id))
        async with aclosing(pieces):
            async for piece in pieces:
                texts.append(piece.text)
                num_tokens += piece.num_tokens
                reason = piece.finish_reason
        return {
            "answer": "".join(texts),
            "finish_reason": reason,
            "usage": {
                "prompt_tokens": len(prompt),
                "visual_tokens": prompt.num_visual_tokens,
                "completion_tokens": num_tokens,
            },
        }


class _Room:
    """Counts the bytes that encoded prompts hold."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.num_bytes = 0
        self._freed = asyncio.Condition()

    async def wait(self) -> None:
        """Wait until fewer bytes than the limit are held."""
        async with self._freed:
            await self._freed.wait_for(lambda: self.num_bytes < self.limit)

    @asynccontextmanager
    async def held(self) -> AsyncIterator[Callable[[int], None]]:
        """The block calls what it gets with the bytes that it holds until it ends."""
        taken = 0

        def hold(num_bytes: int) -> None:
            nonlocal taken
            taken += num_bytes
            self.num_bytes += num_bytes

        try:
            yield hold
        finally:
            self.num_bytes -= taken
            async with self._freed:
                self._freed.notify_all()


def _num_bytes(prompt: Prompt) -> int:
    sample = prompt.sample
    return sample.ids.nbytes + (0 if sample.patches is None else sample.patches.nbytes)


def _sentence(text: str) -> str:
    return " ".join(text.split())
