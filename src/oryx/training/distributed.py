"""The processes of one run, and how they agree: rank 0 writes and speaks, and an error on one ends all.

A rank that raises alone would leave the others waiting for it in their next collective. So what may fail on
one rank runs inside `World.together()` or `World.on_main()`, at whose end all ranks learn of it and raise it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from oryx.errors import ConfigError, OryxError

T = TypeVar("T")
# Ranks wait for each other while one of them reads a large file or writes a large checkpoint.
PATIENCE = timedelta(hours=2)


class World:
    """The processes of a run: one alone, or those that `torchrun` or `accelerate launch` started."""

    def __init__(self, rank: int = 0, size: int = 1, group: Any = None) -> None:
        self.rank = rank
        self.size = size
        self._group = group

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes files and speaks."""
        return self.rank == 0

    def gather(self, value: T) -> list[T]:
        """The value of every rank, in order, on every rank."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value, group=self._group)
        return values

    def sums(self, values: Sequence[float]) -> list[float]:
        """Sums over all ranks."""
        return self._reduced(values, dist.ReduceOp.SUM)

    def maxima(self, values: Sequence[float]) -> list[float]:
        """The largest values of all ranks."""
        return self._reduced(values, dist.ReduceOp.MAX)

    def _reduced(self, values: Sequence[float], how: Any) -> list[float]:
        if self.size == 1:
            return list(values)
        reduced = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(reduced, how, group=self._group)
        return reduced.tolist()

    def from_main(self, value: T) -> T:
        """Rank 0's value."""
        if self.size == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, src=0, group=self._group)
        return values[0]

    def on_main(self, work: Callable[[], T]) -> T:
        """What `work` returns on rank 0, where alone it runs.

        Raises:
            OryxError: it raised one there.
        """
        result: Any = None
        with self.together():
            if self.is_main:
                result = work()
        return self.from_main(result)

    @contextmanager
    def together(self) -> Iterator[None]:
        """No rank leaves before all are here, and what one raises, all raise.

        There must be no collective inside: a rank that failed does not take part in it.
        """
        problem = None
        try:
            yield
        except Exception as error:
            problem = error
        self.agree(problem)

    def agree(self, problem: Exception | None) -> None:
        """Raise `problem`, or that of the first rank that has one.

        Raises:
            OryxError: another rank's; it `is_echo`, since that rank says it.
        """
        if self.size == 1:
            if problem is not None:
                raise problem
            return
        found = [entry for entry in self.gather(self._describe(problem)) if entry is not None]
        if not found:
            return
        rank, kind, text = found[0]
        if problem is not None and rank == self.rank:
            raise problem
        echo = kind(text)
        echo.is_echo = True
        raise echo from problem

    def _describe(self, problem: Exception | None) -> tuple[int, type[OryxError], str] | None:
        if problem is None:
            return None
        if isinstance(problem, OryxError):
            return self.rank, type(problem), str(problem)
        return self.rank, OryxError, f"process {self.rank} ended with {type(problem).__name__}: {problem}"


_joined: World | None = None


def join_world() -> World:
    """The processes that the launcher started together with this one.

    Raises:
        ConfigError: they cannot be reached.
    """
    global _joined
    if not dist.is_available() or (int(os.environ.get("WORLD_SIZE", "1")) < 2 and not dist.is_initialized()):
        return World()
    if _joined is not None and dist.is_initialized():
        return _joined
    try:
        if not dist.is_initialized():
            _start_group()
        # Objects travel over the CPU, whatever the tensors take.
        group = dist.new_group(backend="gloo", timeout=PATIENCE)
    except (ValueError, RuntimeError, dist.DistError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise ConfigError(
            f"the processes of the run cannot reach each other ({reason}); start them with torchrun or "
            "accelerate launch."
        ) from None
    _joined = World(dist.get_rank(), dist.get_world_size(), group)
    return _joined


def _start_group() -> None:
    from accelerate import PartialState

    if torch.cuda.is_available():
        # gloo beside NCCL: sharded weights may live in host memory, and checkpoints pass through it.
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        # Writing shards of a checkpoint, for which this group waits too, may take one of them long.
        dist.init_process_group("cuda:nccl,cpu:gloo", timeout=PATIENCE)
    else:
        PartialState(cpu=not torch.accelerator.is_available())


def is_main_process() -> bool:
    """Whether this process has rank 0, or no others beside it; known from the launcher before they meet."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank() == 0
    return int(os.environ.get("RANK", "0")) == 0


def leave_world() -> None:
    """Take down the process group, if there is one; for the end of a command that went well."""
    global _joined
    _joined = None
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def is_lost_process(error: BaseException) -> bool:
    """Whether a collective failed because the process on its other end is gone."""
    if isinstance(error, dist.DistError):
        return True
    words = ("closed by peer", "reset by peer", "Broken pipe", "gloo")
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)
