"""Many rows at a time, until all are done, too many have failed, or the run is told to stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from oryx.errors import OryxError
from oryx.serving.batch.inputs import Row
from oryx.serving.batch.journal import Journal
from oryx.serving.engine import EngineStopped

DRAIN_SECONDS = 10.0
"""For rows at work to end once the run is told to stop: clusters kill some 30 seconds after they say so."""
SYNC_SECONDS = 1.0
"""Between two times that the journal is put onto the disk."""
SIGNAL_SECONDS = 1.0
"""Within which a signal that has ended the engine's own processes comes here, too."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Workers(Protocol):
    """Answer rows."""

    num_slots: int
    """Rows that are worth having at work at the same time."""

    async def start(self) -> None:
        """Load what it takes, or raise `OryxError`."""

    async def stop(self) -> None:
        """Let go of everything."""

    async def answer(self, row: Row) -> Mapping[str, Any]:
        """What goes into the output beside the id: an answer, or `{"error": sentence}`.

        Raises:
            Exception: of the workers, not of the row; the run ends.
        """


class Stop:
    """Ctrl-C and SIGTERM within its `watching`: the first lets rows at work end, the second does not."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.at_once = asyncio.Event()

    def ask(self) -> None:
        """As a signal does."""
        (self.at_once if self.asked.is_set() else self.asked).set()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Signals that were ignored before stay ignored."""
        loop, watched = asyncio.get_running_loop(), []
        for number in SIGNALS:
            with suppress(NotImplementedError, ValueError, RuntimeError):  # not on Windows, nor in a thread
                if signal.getsignal(number) is not signal.SIG_IGN:
                    loop.add_signal_handler(number, self.ask)
                    watched.append(number)
        try:
            yield
        finally:
            for number in watched:
                loop.remove_signal_handler(number)


async def run_rows(
    rows: Iterator[Row],
    workers: Workers,
    journal: Journal,
    stop: Stop,
    done: Callable[[int, bool], object],
    max_errors: int | None = None,
    num_errors: int = 0,
    ending: Callable[[], object] = lambda: None,
) -> None:
    """Answer rows and journal each as soon as it is done, in any order; only rows at work are held.

    Args:
        workers: started.
        done: is told after each row which it is and whether it is an error.
        max_errors: that the journal may hold; None for any number.
        num_errors: that it holds.
        ending: is told at once when the run is told to stop, and rows at work have time to end.

    Returns: when all rows are done, or those that were at work when the run was told to stop.

    Raises:
        OryxError: more errors than allowed, a disk that refuses, or an input that changed.
        Exception: whatever ended the workers.
    """

    async def answer(row: Row) -> Mapping[str, Any] | None:
        """None where the engine's processes were told to stop, as this one was."""
        try:
            return {"error": row.problem} if row.content is None else await workers.answer(row)
        except EngineStopped:
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.asked.wait(), SIGNAL_SECONDS)
            if stop.asked.is_set():
                return None
            raise

    async def work() -> None:
        nonlocal num_errors
        for row in rows:  # which all share
            output = await answer(row)
            if output is None:
                return
            journal.append(row.index, {"id": row.id, **output})
            is_error = "error" in output
            num_errors += is_error
            done(row.index, is_error)
            if is_error and max_errors is not None and num_errors > max_errors:
                raise too_many_errors(num_errors, max_errors, f" The last: {output['error']}")
            if stop.asked.is_set():
                return
            await asyncio.sleep(0)  # rows that need no work let others work

    try:
        async with asyncio.TaskGroup() as group:
            lanes = [group.create_task(work()) for _ in range(workers.num_slots)]
            helpers = [
                group.create_task(_keep_synced(journal)),
                group.create_task(_end_when_told(stop, lanes, ending)),
            ]
            await asyncio.wait(lanes)
            for helper in helpers:
                helper.cancel()
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    journal.sync()


def too_many_errors(num_errors: int, max_errors: int, last: str = "") -> OryxError:
    """The sentence that ends a run. `last` is one about the last error."""
    return OryxError(
        f"{num_errors:,} rows have errors, more than --max-errors {max_errors:,}.{last} What is answered is "
        "kept; the same command with a higher --max-errors goes on, and --retry-errors asks those again."
    )


async def _keep_synced(journal: Journal) -> None:
    while True:
        await asyncio.sleep(SYNC_SECONDS)
        await asyncio.to_thread(journal.sync)


async def _end_when_told(
    stop: Stop, lanes: Sequence[asyncio.Task[None]], ending: Callable[[], object]
) -> None:
    """Rows at work have some time to end by themselves, unless the run is told twice."""
    await stop.asked.wait()
    ending()
    with suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_SECONDS):
            await stop.at_once.wait()
    for lane in lanes:
        lane.cancel()
