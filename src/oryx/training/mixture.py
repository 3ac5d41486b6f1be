"""In which order the records of all sources are drawn: a function of the seed, the epoch and the weights."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Draws:
    """Records in the order in which an epoch draws them, as (N,) arrays."""

    sources: np.ndarray
    """Number of the source of each."""
    indices: np.ndarray
    """Number of the record in its source."""
    turns: np.ndarray
    """How often the source was gone through before."""


@dataclass(frozen=True)
class Part:
    """One source of a mixture."""

    usable: np.ndarray
    """(n,) numbers of its records that can be used."""
    weight: float | None = None
    """Its share of the samples; None in a mixture without weights."""
    window: int | None = None
    """Its records are shuffled within windows of so many, one after the other."""


class Mixture:
    """Draws of every epoch.

    Without weights an epoch has every record once. With weights it has as many samples as there are records,
    shared out by weight; each source is gone through again and again, in an order of its own each time, so no
    record is drawn twice before all have been drawn once.
    """

    def __init__(self, parts: Sequence[Part], seed: int) -> None:
        self.parts = list(parts)
        self.seed = seed
        self.num_samples = sum(len(part.usable) for part in self.parts)
        total = sum(part.weight or 0.0 for part in self.parts)
        self.shares = [
            len(part.usable) / self.num_samples if part.weight is None else part.weight / total
            for part in self.parts
        ]
        """Of the samples of an epoch, those of each source."""

    def draw(self, epoch: int) -> Draws:
        """The records of an epoch in order."""
        drawn = [self._draw_source(number, epoch) for number in range(len(self.parts))]
        labels = [number for number, (indices, _) in enumerate(drawn) for _ in range(len(indices))]
        random.Random(f"{self.seed} {epoch}").shuffle(labels)
        sources = np.array(labels, dtype=np.int32)
        indices, turns = np.zeros((2, len(labels)), dtype=np.int64)
        for number, (own_indices, own_turns) in enumerate(drawn):
            places = sources == number
            indices[places], turns[places] = own_indices, own_turns
        return Draws(sources, indices, turns)

    def _draw_source(self, number: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """(indices, turns) of one source in an epoch."""
        part = self.parts[number]
        size = len(part.usable)
        if part.weight is None:
            return self._pass(number, epoch), np.full(size, epoch)
        # Counted from the first epoch on, so that rounding loses nothing.
        per_epoch = self.num_samples * self.shares[number]
        start, stop = round(epoch * per_epoch), round((epoch + 1) * per_epoch)
        indices, turns = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
        for turn in range(start // size, -(-stop // size)):
            piece = self._pass(number, turn)[max(start - turn * size, 0) : stop - turn * size]
            indices.append(piece)
            turns.append(np.full(len(piece), turn))
        return np.concatenate(indices), np.concatenate(turns)

    def _pass(self, number: int, turn: int) -> np.ndarray:
        """All usable records of a source, in the order of one pass."""
        part = self.parts[number]
        rng = random.Random(f"{self.seed} source {number} pass {turn}")
        order: list[int] = []
        window = part.window or max(len(part.usable), 1)
        for start in range(0, len(part.usable), window):
            piece = part.usable[start : start + window].tolist()
            rng.shuffle(piece)
            order += piece
        return np.array(order, dtype=np.int64)
