"""Batches of records from files, planned by their lengths; synthetic samples fill the rows left to them."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch.utils.data import Dataset

from oryx.data.sources.base import Source, digest
from oryx.data.sources.cache import KEPT_FROM
from oryx.data.sources.counting import Counts, Finding, count_source
from oryx.data.sources.opening import open_source
from oryx.errors import ConfigError, MediaError, OryxError
from oryx.processing.collate import EncodedSample, first_fit
from oryx.processing.processor import OryxProcessor
from oryx.training.batch import Packer
from oryx.training.mixture import Draws, Mixture, Part
from oryx.training.packing import OPEN_ROWS, balance, pack_stream, shuffle_near
from oryx.training.recipe import Recipe
from oryx.training.skipping import Journal, check_limit
from oryx.training.synthetic import SyntheticRows

REPORTED = 20
"""Broken records that are named one by one before training begins."""
PROBED = 64
"""Synthetic samples whose mean length tells how many rows their share of the samples takes."""


@dataclass(frozen=True)
class _Plan:
    """One epoch: its draws, the draws of each row, and where each batch's rows begin."""

    draws: Draws
    rows: list[list[int]]
    starts: list[int]


class RecordBatches(Dataset):
    """Records of files in packed rows; each epoch in an order of its own.

    Lengths are counted once, from the headers of the media, so that packing needs no decoding. Nothing that
    the weights draw is lost: the last batch of an epoch may have fewer rows. With synthetic samples, whose
    lengths show only when they are drawn, each batch gives them the rows of their share, and what is left
    free in the others.
    """

    def __init__(
        self, recipe: Recipe, processor: OryxProcessor, report: Callable[[str], None] = lambda _: None
    ) -> None:
        data = recipe.data
        self.packer = Packer(processor, data, recipe.batch)
        self.seed = recipe.seed
        self.balance = data.balance
        self.sources = [open_source(settings) for settings in data.used_sources]
        total = sum(map(len, self.sources))
        limit = data.broken_limit(total)
        report(f"counting the positions of {total:,} records")
        self.counts, known = self._count(recipe.num_workers, limit, report)
        self.mixture = self._mix()
        self.journal = Journal(known, limit)
        plans = [(counted.lengths.tobytes(), counted.patches.tobytes()) for counted in self.counts]
        hashes = [[hashlib.sha256(part).hexdigest() for part in plan] for plan in plans]
        self.synthetic = SyntheticRows(self.packer, data) if data.draws else None
        drawn = [self.synthetic.identity] if self.synthetic is not None and self.synthetic.identity else []
        self.identity = digest([*hashes, *drawn])
        """Of the records' number, lengths and patches, from which all plans follow, and of what is drawn."""
        self.planned_share = 1.0 if self.synthetic is None else self._planned_share(data.synthetic.weight)  # type: ignore[union-attr, arg-type]
        self._plans: dict[int, _Plan] = {}
        self._starts = [0]

    def __getitem__(self, number: int) -> dict[str, Any]:
        epoch = self._find_epoch(number)
        plan = self._plan(epoch)
        local = number - self._starts[epoch]
        samples, names, broken = [], [], []
        for row in plan.rows[plan.starts[local] : plan.starts[local + 1]]:
            for draw in row:
                name, encoded = self._encode(plan.draws, draw)
                if isinstance(encoded, str):
                    broken.append(encoded)
                else:
                    samples.append(encoded)
                    names.append(name)
        if self.synthetic is not None:
            drawn, drawn_names = self.synthetic.fill(number, self._rooms(samples))
            samples, names = samples + drawn, names + drawn_names
        return self.packer.pack(samples, names, broken)

    def num_batches(self, epochs: float) -> int:
        """Batches of the first `epochs` epochs, the last of which may be a part."""
        whole = int(epochs)
        while len(self._starts) <= whole:
            self._append_start()
        rest = math.ceil((epochs - whole) * (len(self._plan(whole).starts) - 1)) if epochs > whole else 0
        return self._starts[whole] + rest

    def prepare(self, number: int) -> None:
        """Plan the epoch of a batch, and all before it, so that the workers that are started now need not."""
        self._plan(self._find_epoch(number))

    # --- before the first batch -----------------------------------------------------------------------------

    def _count(
        self, num_workers: int, limit: int, report: Callable[[str], None]
    ) -> tuple[list[Counts], list[str]]:
        """Counts of all sources, and their broken records, which stay under the limit."""
        broken: list[str] = []

        def found(finding: Finding) -> None:
            if finding.problem:
                broken.append(finding.problem)
                check_limit(broken, limit)
                if len(broken) <= REPORTED:
                    report(f"skipped {finding.problem}")

        with _progress_bar(sum(map(len, self.sources))) as advance:

            def looked(finding: Finding) -> None:
                advance()
                found(finding)

            counts = [
                count_source(source, self.packer.processor, num_workers, looked) for source in self.sources
            ]
        for source, counted in zip(self.sources, counts):
            for index in np.flatnonzero(counted.lengths > self.packer.row_length).tolist():
                try:
                    self.packer.check_length(source.place(index), int(counted.lengths[index]))
                except ConfigError as error:
                    counted.lengths[index] = -1
                    found(Finding(index, problem=str(error)))
        if len(broken) > REPORTED:
            report(f"and {len(broken) - REPORTED:,} more broken records")
        return counts, broken

    def _mix(self) -> Mixture:
        parts = []
        for source, counted in zip(self.sources, self.counts):
            usable = np.flatnonzero(counted.lengths >= 0)
            if not len(usable):
                raise ConfigError(f"{source.settings.title} has no record that can be used.")
            parts.append(Part(usable, source.settings.weight, source.window))
        return Mixture(parts, self.seed)

    def _planned_share(self, synthetic_weight: float) -> float:
        """Share of the rows that records of files take, by their share of the samples and their lengths."""
        assert self.synthetic is not None
        weights = [source.settings.weight or 0.0 for source in self.sources]
        means = [float(counted.lengths[counted.lengths >= 0].mean()) for counted in self.counts]
        planned = sum(weight * mean for weight, mean in zip(weights, means))
        drawn = synthetic_weight * self.synthetic.mean_length(PROBED)
        return planned / (planned + drawn)

    # --- one epoch ------------------------------------------------------------------------------------------

    def _find_epoch(self, number: int) -> int:
        while self._starts[-1] <= number:
            self._append_start()
        return next(epoch for epoch, start in enumerate(self._starts) if start > number) - 1

    def _append_start(self) -> None:
        self._starts.append(self._starts[-1] + len(self._plan(len(self._starts) - 1).starts) - 1)

    def _plan(self, epoch: int) -> _Plan:
        if epoch not in self._plans:
            draws = self.mixture.draw(epoch)
            lengths, patches = np.zeros((2, len(draws.sources)), dtype=np.int64)
            for number, counted in enumerate(self.counts):
                places = draws.sources == number
                lengths[places] = counted.lengths[draws.indices[places]]
                patches[places] = counted.patches[draws.indices[places]]
            rows = pack_stream(lengths.tolist(), self.packer.row_length)
            rng = random.Random(f"{self.seed} rows {epoch}")
            # Rows closed late would otherwise hold the long samples. A stream is read from front to back, and
            # a part of an epoch with weights should have no record twice before it has all of its source.
            is_ordered = any(
                source.window is not None or source.settings.weight is not None for source in self.sources
            )
            shuffle_near(rows, rng, 2 * OPEN_ROWS if is_ordered else None)
            if self.balance > 1:
                # Groups begin at whole turns of the processes, wherever the epoch begins.
                lead = -self._starts[epoch] % self.balance * self.packer.rows
                rest = balance(rows[lead:], patches.tolist(), self.packer.rows, self.balance, rng)
                rows = rows[:lead] + rest
            self._plans = {epoch: _Plan(draws, rows, self._split(len(rows)))}
        return self._plans[epoch]

    def _split(self, num_rows: int) -> list[int]:
        """Where each batch's rows begin, and where the last one's end."""
        starts = [0]
        while starts[-1] < num_rows:
            # As many as their share of all rows up to here comes to; the fraction goes on to the next batch.
            due = math.floor(len(starts) * self.packer.rows * self.planned_share + 1e-9)
            starts.append(min(due, num_rows))
        return starts

    # --- one batch ------------------------------------------------------------------------------------------

    def _encode(self, draws: Draws, draw: int) -> tuple[str, EncodedSample | str]:
        """Name and sample of a draw, or what is wrong with the record."""
        number, index = int(draws.sources[draw]), int(draws.indices[draw])
        source: Source = self.sources[number]
        try:
            record = source.read(index).draw(f"{self.seed} {number} {index}", int(draws.turns[draw]))
            try:
                visuals = record.opened()
            except OryxError as error:
                raise type(error)(f"{record.place}: {error}") from None
            sample = self.packer.encode(record.place, record.conversations, visuals)
            counted = int(self.counts[number].lengths[index])
            if len(sample) > counted:
                raise MediaError(
                    f"{record.place}: it has {len(sample)} positions, but {counted} were counted before; its "
                    "media have changed, or its frames differ in size."
                )
        except OryxError as error:
            return "", str(error)
        return record.place, sample

    def _rooms(self, planned: list[EncodedSample]) -> list[int]:
        """Free positions of each row of a batch that holds the planned samples."""
        length, lengths = self.packer.row_length, [len(sample) for sample in planned]
        used = [sum(lengths[index] for index in row) for row in first_fit(lengths, length)]
        return [length - own for own in used] + [length] * (self.packer.rows - len(used))


@contextmanager
def _progress_bar(total: int) -> Iterator[Callable[[], None]]:
    """On a terminal, where counting takes long enough to look at; gives what to call after each record."""
    columns = (TextColumn("counting"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    shown = console.is_terminal and total >= KEPT_FROM
    with Progress(*columns, console=console, transient=True, disable=not shown) as progress:
        task = progress.add_task("counting", total=total)
        yield lambda: progress.advance(task)
