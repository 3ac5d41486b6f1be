"""Work shared out to other processes, whose results are taken as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any, TypeVar

from oryx.errors import ConfigError

Result = TypeVar("Result")


def run_in_processes(
    work: Callable[..., Result], jobs: Sequence[Sequence[Any]], workers: int, done: str
) -> Iterator[Result]:
    """What `work` makes of the arguments of each job, in the order in which they are done.

    However the iteration ends, by an error or an interrupt too, jobs that were not begun are dropped.

    Args:
        done: what happened to the finished jobs, in a word such as "drawn".

    Raises:
        ConfigError: a process died.
    """
    # Not forked: a process with threads (a progress bar, torch) or a graphics context must not be copied.
    pool = ProcessPoolExecutor(min(workers, len(jobs)), mp_context=get_context("spawn"))
    try:
        for future in as_completed([pool.submit(work, *job) for job in jobs]):
            yield future.result()
    except BrokenProcessPool:
        raise ConfigError(
            "a worker process ended at once, most likely for lack of memory; use fewer workers. "
            f"What was {done} by then is kept."
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
