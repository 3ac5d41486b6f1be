"""A whole batch: the input checked, the journal taken up, what is left answered, the output written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from oryx.errors import ConfigError
from oryx.files import check_writable
from oryx.locks import PATIENCE_S
from oryx.serving.batch.formats import format_of
from oryx.serving.batch.inputs import Input, Scan
from oryx.serving.batch.journal import Journal
from oryx.serving.batch.outputs import write_outputs
from oryx.serving.batch.running import DRAIN_SECONDS, Stop, Workers, run_rows, too_many_errors
from oryx.serving.batch.shards import WHOLE, Shard

FORMAT_VERSION = 1
"""Of the journal."""


class Interrupted(Exception):  # noqa: N818 a state, not a mistake
    """The run was told to stop, and rows are left for the next one."""


class Watcher(Protocol):
    """Is told how far a run is."""

    def begin(self, total: int, done: int, errors: int) -> None:
        """Rows of this run, and how many of them were done before."""

    def advance(self, is_error: bool) -> None:
        """One more row is done."""

    def say(self, doing: str) -> None:
        """What is being done, in a word or two."""

    def loading(self, label: str) -> None:
        """What is being loaded, which takes a while."""

    def tell(self, sentence: str) -> None:
        """What stays to be read, in a log, too."""


@dataclass(frozen=True)
class Batch:
    """What is to be done, whoever does it."""

    source: Path
    out: Path
    settings: Mapping[str, Any]
    """Everything that answers depend on, as JSON has it; a run goes on only with the same."""
    label: str = "the model"
    """What is loaded, for people."""
    shard: Shard = WHOLE
    max_errors: int | None = None
    """Rows with errors, of this run and those before; more end the run, or keep it from beginning."""
    retry_errors: bool = False
    """Ask rows with errors again."""
    patience: float = PATIENCE_S
    """Seconds to wait for another run of the same output to end."""


@dataclass(frozen=True)
class Outcome:
    """What the output holds."""

    num_rows: int
    num_errors: int
    num_new: int
    """Rows that this run has answered, errors included."""


def run_batch(
    batch: Batch,
    build_workers: Callable[[], Workers],
    watcher: Watcher,
    leave: Callable[[], object] = lambda: None,
) -> Outcome:
    """Answer what is not answered yet, and write the output.

    Args:
        build_workers: makes them; called only if there are rows left.
        leave: called when the run is told to stop while a model is loaded: a thread that loads cannot be
            told, and is waited for unless this ends the process. Nothing is lost then.

    Raises:
        Interrupted: Ctrl-C or SIGTERM; what was answered is kept.
        ConfigError: an input with wrong ids, an output of another run, or a run that writes it now.
        OryxError: workers that cannot start, too many errors, or a disk that refuses.
        Exception: whatever ended the workers.
    """
    check_paths(batch.source, batch.out)
    source = Input(batch.source)
    watcher.say("checking the input")
    scan = source.scan()
    journal = Journal(batch.out, scan.num_rows, batch.patience)
    journal.open(_head(batch, scan))
    try:
        own = range(batch.shard.first, scan.num_rows, batch.shard.count)
        is_left = bytearray(scan.num_rows)
        for row in own:
            is_left[row] = not journal.is_done(row) or (batch.retry_errors and journal.is_error(row))
        num_left, num_errors = sum(is_left), sum(journal.is_error(row) for row in own if not is_left[row])
        if batch.max_errors is not None and num_errors > batch.max_errors:
            raise too_many_errors(num_errors, batch.max_errors)
        if num_left:
            if num_done := len(own) - num_left:
                watcher.tell(f"going on: {num_done:,} of {len(own):,} rows are done")
            _answer(batch, source, journal, build_workers, watcher, leave, own, is_left, num_errors)
        watcher.say("writing the output")
        write_outputs(batch.out, journal, own, scan.has_number_ids)
        return Outcome(len(own), sum(journal.is_error(row) for row in own), num_left)
    finally:
        journal.close()


def check_paths(source: Path, out: Path) -> None:
    """Raises ConfigError for names that cannot be an input and its output."""
    format_of(source, "the input")
    format_of(out, "the output")
    check_writable(out)
    if out.exists() and source.exists() and out.samefile(source):
        raise ConfigError(f"the output {out} is the input; choose another name.")


def _answer(
    batch: Batch,
    source: Input,
    journal: Journal,
    build_workers: Callable[[], Workers],
    watcher: Watcher,
    leave: Callable[[], object],
    own: range,
    is_left: bytearray,
    num_errors: int,
) -> None:
    """Args: num_errors: of rows that are not asked again."""
    num_left = sum(is_left)

    def settle(row: int, is_error: bool) -> None:
        is_left[row] = False
        watcher.advance(is_error)

    def ending() -> None:
        watcher.tell(
            f"ending: rows at work have {DRAIN_SECONDS:g} s; a second Ctrl-C or SIGTERM ends at once"
        )

    async def run() -> None:
        stop = Stop()
        has_started = False
        with stop.watching():
            workers = build_workers()
            try:
                watcher.loading(batch.label)
                has_started = await _started(workers, stop)
                if has_started:
                    watcher.begin(len(own), len(own) - num_left, num_errors)
                    rows = source.rows(lambda row: bool(is_left[row]))
                    await run_rows(rows, workers, journal, stop, settle, batch.max_errors, num_errors, ending)
            finally:
                watcher.say("ending")
                await workers.stop()
            if not has_started:
                leave()

    asyncio.run(run())
    if any(is_left):
        raise Interrupted


async def _started(workers: Workers, stop: Stop) -> bool:
    """Whether the workers were started before the run was told to stop."""
    starting, asked = asyncio.create_task(workers.start()), asyncio.create_task(stop.asked.wait())
    try:
        await asyncio.wait([starting, asked], return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            await starting
            return True
        return False
    finally:
        for task in (starting, asked):
            task.cancel()
        await asyncio.gather(starting, asked, return_exceptions=True)


def _head(batch: Batch, scan: Scan) -> dict[str, Any]:
    return {
        "input": {"sha256": scan.sha256, "rows": scan.num_rows},
        "journal": FORMAT_VERSION,
        "--shard": str(batch.shard),
        **batch.settings,
    }
