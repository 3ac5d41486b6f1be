"""Packed batches by number: batch b is a pure function of the recipe and of b, so a run resumes anywhere.

Legend: B rows, T positions of a row.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from oryx.data.synthetic import Sample, make_source
from oryx.errors import ConfigError, OryxError
from oryx.processing.collate import EncodedSample, pack_rows
from oryx.processing.processor import OryxProcessor
from oryx.training.recipe import Recipe
from oryx.training.records import Record, measured_visual, read_records
from oryx.training.sections.data import DataSection
from oryx.training.sections.optim import BatchSection

STATS = "stats"
"""Key of a batch's `BatchStats`, beside the model's inputs."""
GOOD_FILL = 0.97
"""A batch is full enough with this share of its positions in use."""
LOOK_AHEAD = 1.3
"""At most this multiple of a batch's positions is drawn to fill it."""
OPEN_ROWS = 64
"""Rows that wait for a sample that fits, when finite data is packed."""


@dataclass(frozen=True)
class BatchStats:
    """What a batch holds."""

    num_samples: int
    """Conversations."""
    num_positions: int
    """Positions in use."""
    capacity: int
    """Positions in all."""
    names: tuple[str, ...]
    """Its samples, for error sentences."""


class Batches(Protocol):
    """Batches by number; number -> the model's inputs and `STATS`."""

    def __getitem__(self, number: int) -> dict[str, Any]: ...

    def num_batches(self, epochs: float) -> int: ...


class _Packer:
    """Encodes samples and packs them, with errors that name the sample."""

    def __init__(self, processor: OryxProcessor, data: DataSection, batch: BatchSection) -> None:
        self.processor = processor
        self.supervise = data.supervise
        self.row_length = batch.row_length
        self.rows = batch.rows

    def encode(self, name: str, conversations: Sequence[Any], visuals: Sequence[Any]) -> EncodedSample:
        try:
            return self.processor.encode_sample(conversations, visuals, supervise=self.supervise)
        except OryxError as error:
            raise type(error)(f"{name}: {error}") from None

    def check_length(self, name: str, length: int) -> None:
        if length > self.row_length:
            raise ConfigError(
                f"{name} has {length} positions, more than batch.row_length ({self.row_length}); "
                "raise it, or the sample's compression."
            )

    def pack(self, samples: list[EncodedSample], names: Sequence[str]) -> dict[str, Any]:
        pad_id = self.processor.tokenizer.pad_token_id
        batch: dict[str, Any] = pack_rows(samples, self.row_length, pad_id)
        used = sum(map(len, samples))
        batch[STATS] = BatchStats(len(samples), used, batch["input_ids"].numel(), tuple(names))
        return batch


class SyntheticBatches(Dataset):
    """Batch b is filled from samples [b * stride, (b + 1) * stride) of an endless source.

    The stride is larger than any batch, so no two share a sample and none needs to know where another ended.
    """

    def __init__(self, processor: OryxProcessor, data: DataSection, batch: BatchSection) -> None:
        assert data.synthetic is not None
        self.source = make_source(data.synthetic.skills, data.synthetic.seed)
        self.packer = _Packer(processor, data, batch)
        self.capacity = batch.rows * batch.row_length
        self.stride = max(batch.rows, self.capacity // 8)  # no chat is as short as eight positions

    def __getitem__(self, number: int) -> dict[str, Any]:
        first = number * self.stride
        samples: list[EncodedSample] = []
        names: list[str] = []
        drawn, chosen = 0, []
        while len(samples) < self.stride and drawn < LOOK_AHEAD * self.capacity:
            drawn_sample = self.source[first + len(samples)]
            name = f"sample {first + len(samples)} (skill {drawn_sample.skill})"
            samples.append(self._encode(name, drawn_sample))
            names.append(name)
            drawn += len(samples[-1])
            if drawn >= self.capacity:
                chosen = choose_full(
                    [len(sample) for sample in samples], self.packer.row_length, self.packer.rows
                )
                if sum(len(samples[index]) for index in chosen) >= GOOD_FILL * self.capacity:
                    break
        chosen = chosen or list(range(len(samples)))
        return self.packer.pack([samples[index] for index in chosen], [names[index] for index in chosen])

    def _encode(self, name: str, sample: Sample) -> EncodedSample:
        """The sample with as many of its questions as fit into a row, which must be one at least."""
        for end in range(len(sample.conversations), 0, -2):
            encoded = self.packer.encode(name, sample.conversations[:end], sample.visuals)
            if len(encoded) <= self.packer.row_length:
                break
        self.packer.check_length(name, len(encoded))
        return encoded

    def num_batches(self, epochs: float) -> int:
        raise ConfigError("optim.epochs needs data.files, since synthetic data has no end; set optim.steps.")


class RecordBatches(Dataset):
    """Every record of the files once an epoch, in an order of its own for each epoch. Nothing is lost.

    Lengths are counted once, from the headers of the media, so that packing needs no decoding. The last
    batch of an epoch may have fewer rows.
    """

    def __init__(
        self,
        processor: OryxProcessor,
        data: DataSection,
        batch: BatchSection,
        seed: int,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.packer = _Packer(processor, data, batch)
        self.seed = seed
        self.records: list[Record] = []
        for file in data.files:
            self.records += read_records(file.path, file.media_root)
        report(f"counting the positions of {len(self.records):,} records")
        self.lengths = [self._measure(record) for record in self.records]
        self._plans: dict[int, list[list[int]]] = {}
        self._starts = [0]

    def __getitem__(self, number: int) -> dict[str, Any]:
        epoch = self._find_epoch(number)
        members = self._plan(epoch)[number - self._starts[epoch]]
        records = [self.records[member] for member in members]
        samples = [
            self.packer.encode(record.place, record.conversations, record.visuals) for record in records
        ]
        return self.packer.pack(samples, [record.place for record in records])

    def num_batches(self, epochs: float) -> int:
        """Batches of the first `epochs` epochs, the last of which may be a part."""
        whole = int(epochs)
        while len(self._starts) <= whole:
            self._append_start()
        rest = math.ceil((epochs - whole) * len(self._plan(whole))) if epochs > whole else 0
        return self._starts[whole] + rest

    def _measure(self, record: Record) -> int:
        """Positions of a record. Raises the errors that its encoding would, but for those of its pixels."""
        processor = self.packer.processor
        try:
            visuals = [measured_visual(visual, processor.rule) for visual in record.visuals]
            length = len(processor.encode_sample(record.conversations, visuals, supervise=None))
        except OryxError as error:
            raise type(error)(f"{record.place}: {error}") from None
        self.packer.check_length(record.place, length)
        return length

    def _find_epoch(self, number: int) -> int:
        while self._starts[-1] <= number:
            self._append_start()
        return next(epoch for epoch, start in enumerate(self._starts) if start > number) - 1

    def _append_start(self) -> None:
        self._starts.append(self._starts[-1] + len(self._plan(len(self._starts) - 1)))

    def _plan(self, epoch: int) -> list[list[int]]:
        """The records of each batch of an epoch."""
        if epoch not in self._plans:
            order = list(range(len(self.records)))
            rng = random.Random(f"{self.seed} {epoch}")
            rng.shuffle(order)
            rows = pack_stream([self.lengths[index] for index in order], self.packer.row_length)
            rng.shuffle(rows)  # rows closed late would otherwise hold the long samples
            count = self.packer.rows
            batches = [rows[start : start + count] for start in range(0, len(rows), count)]
            self._plans = {epoch: [[order[i] for row in batch for i in row] for batch in batches]}
        return self._plans[epoch]


def choose_full(lengths: Sequence[int], row_length: int, num_rows: int) -> list[int]:
    """Indices of samples that fill `num_rows` rows, the longest first; those that find no room are left out.

    First-fit gives these, in this order, the rows that they were given here.
    """
    room = [row_length] * num_rows
    chosen = []
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        row = next((row for row, free in enumerate(room) if free >= lengths[index]), None)
        if row is not None:
            room[row] -= lengths[index]
            chosen.append(index)
    return chosen


def pack_stream(lengths: Sequence[int], row_length: int) -> list[list[int]]:
    """All samples in rows: each goes into the fullest open row with room; of too many the fullest closes."""
    done: list[list[int]] = []
    rows: list[tuple[int, list[int]]] = []  # (free positions, samples)
    for index, length in enumerate(lengths):
        fitting = [(free, place) for place, (free, _) in enumerate(rows) if free >= length]
        if fitting:
            free, place = min(fitting)
            rows[place] = (free - length, [*rows[place][1], index])
        else:
            rows.append((row_length - length, [index]))
        if len(rows) > OPEN_ROWS:
            done.append(rows.pop(min(range(len(rows)), key=lambda place: rows[place][0]))[1])
    return done + [members for _, members in rows]


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
    """A `DataLoader` of whole batches that raises the errors of its workers as they were."""

    def __init__(
        self, batches: Batches, sampler: ResumingSampler, num_workers: int, pin_memory: bool
    ) -> None:
        super().__init__(
            _Guarded(batches),
            batch_size=None,
            sampler=sampler,
            num_workers=num_workers,
            pin_memory=pin_memory,
            prefetch_factor=4 if num_workers else None,
            # Its own generator: starting workers must not move the generator that a resumed run restores.
            generator=torch.Generator(),
        )

    def __iter__(self) -> Iterator[dict[str, Any]]:  # type: ignore[override]
        for batch in super().__iter__():
            if isinstance(batch, OryxError):
                raise batch
            yield batch


def make_batches(
    recipe: Recipe, processor: OryxProcessor, report: Callable[[str], None] = lambda _: None
) -> Batches:
    """The batches of a recipe. Raises `ConfigError` for data that cannot be read."""
    if recipe.data.synthetic is not None:
        return SyntheticBatches(processor, recipe.data, recipe.batch)
    return RecordBatches(processor, recipe.data, recipe.batch, recipe.seed, report)
