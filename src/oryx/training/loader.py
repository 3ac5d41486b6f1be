"""Batches in worker processes, from wherever a run stands, with errors that stay one sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from oryx.errors import OryxError
from oryx.training.batch import STATS, Batches
from oryx.training.records import RecordBatches
from oryx.training.stopping import leave_signals


class ResumingSampler(Sampler[int]):
    """Batch numbers of one process, from wherever the run stands when iteration begins."""

    def __init__(self, total: int, start: Callable[[], int], rank: int = 0, world_size: int = 1) -> None:
        self.total = total
        self.start = start
        self.rank = rank
        self.world_size = world_size

    def __iter__(self) -> Iterator[int]:
        return (turn * self.world_size + self.rank for turn in range(self.start(), self.total))

    def __len__(self) -> int:
        return self.total


class _Guarded(Dataset):
    """Hands errors over as values: a worker process would bury their one sentence in its traceback."""

    def __init__(self, batches: Batches) -> None:
        self.batches = batches

    def __getitem__(self, number: int) -> dict[str, Any] | OryxError:
        try:
            return self.batches[number]
        except OryxError as error:
            return error


class BatchLoader(DataLoader):
    """A `DataLoader` of whole batches that raises the errors of its workers as they were.

    Broken records that batches left out are told and counted here, up to the limit of the data, and written
    down in `folder`, that of the run.
    """

    def __init__(
        self, batches: Batches, sampler: ResumingSampler, num_workers: int, pin_memory: bool, folder: Path
    ) -> None:
        self.folder = folder
        self.records = batches if isinstance(batches, RecordBatches) else None
        super().__init__(
            _Guarded(batches),
            batch_size=None,
            sampler=sampler,
            num_workers=num_workers,
            pin_memory=pin_memory,
            prefetch_factor=4 if num_workers else None,
            worker_init_fn=leave_signals,
            # Its own generator: starting workers must not move the generator that a resumed run restores.
            generator=torch.Generator(),
        )

    def __iter__(self) -> Iterator[dict[str, Any]]:  # type: ignore[override]
        sampler = self.sampler
        assert isinstance(sampler, ResumingSampler)
        if self.records is not None:
            first = sampler.start() * sampler.world_size
            self.records.journal.begin(self.folder, sampler.rank, sampler.world_size, first)
            self.records.prepare(first)
        for number, batch in zip(iter(sampler), super().__iter__()):
            if isinstance(batch, OryxError):
                raise batch
            if self.records is not None:
                self.records.journal.add(number, batch[STATS].broken)
            yield batch
