"""Batches, or rows of batches, filled from an endless source of samples drawn on the fly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch.utils.data import Dataset

from oryx.data.sources.base import digest
from oryx.data.synthetic import Sample, make_source
from oryx.processing.collate import EncodedSample
from oryx.processing.processor import OryxProcessor
from oryx.training.batch import Packer
from oryx.training.packing import GOOD_FILL, choose_full
from oryx.training.sections.data import DataSection
from oryx.training.sections.optim import BatchSection

LOOK_AHEAD = 1.3
"""At most this multiple of the positions to fill is drawn to fill them."""


class SyntheticRows:
    """Samples for batch b come from [b * stride, (b + 1) * stride) of the source.

    The stride is larger than any batch, so no two share a sample and none needs to know where another ended.
    """

    def __init__(self, packer: Packer, data: DataSection) -> None:
        assert data.synthetic is not None
        self.source = make_source(data.synthetic.skills, data.synthetic.seed)
        materials = self.source.materials()
        self.identity = digest(materials) if materials else ""
        """Of the fonts, pictures and rooms that it draws with; nothing is counted beforehand."""
        self.packer = packer
        # No chat is as short as eight positions.
        self.stride = max(packer.rows, packer.rows * packer.row_length // 8)

    def fill(self, number: int, rooms: Sequence[int]) -> tuple[list[EncodedSample], list[str]]:
        """Samples of batch `number`, with their names, that fill rows which have so many positions left."""
        first, room = number * self.stride, sum(rooms)
        samples: list[EncodedSample] = []
        names: list[str] = []
        drawn, chosen = 0, []
        while len(samples) < self.stride and drawn < LOOK_AHEAD * room:
            drawn_sample = self.source[first + len(samples)]
            name = f"sample {first + len(samples)} (skill {drawn_sample.skill})"
            samples.append(self.encode(name, drawn_sample))
            names.append(name)
            drawn += len(samples[-1])
            if drawn >= room:
                chosen = choose_full([len(sample) for sample in samples], rooms)
                if sum(len(samples[index]) for index in chosen) >= GOOD_FILL * room:
                    break
        chosen = chosen or choose_full([len(sample) for sample in samples], rooms)
        return [samples[index] for index in chosen], [names[index] for index in chosen]

    def encode(self, name: str, sample: Sample) -> EncodedSample:
        """The sample with as many of its questions as fit into a row, which must be one at least."""
        for end in range(len(sample.conversations), 0, -2):
            encoded = self.packer.encode(name, sample.conversations[:end], sample.visuals)
            if len(encoded) <= self.packer.row_length:
                break
        self.packer.check_length(name, len(encoded))
        return encoded

    def mean_length(self, num_samples: int) -> float:
        """Positions of a sample, from the first ones."""
        samples = (self.encode(f"sample {index}", self.source[index]) for index in range(num_samples))
        return sum(map(len, samples)) / num_samples


class SyntheticBatches(Dataset):
    """Batches of an endless source alone."""

    def __init__(self, processor: OryxProcessor, data: DataSection, batch: BatchSection) -> None:
        self.packer = Packer(processor, data, batch)
        self.rows = SyntheticRows(self.packer, data)
        self.identity = self.rows.identity

    def __getitem__(self, number: int) -> dict[str, Any]:
        return self.packer.pack(*self.rows.fill(number, [self.packer.row_length] * self.packer.rows))

    def num_batches(self, epochs: float) -> int:
        raise AssertionError("synthetic data has no end, so no recipe has epochs of it alone")
