"""What a batch is, and how one is made of samples.

Legend: B rows, T positions of a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from oryx.errors import ConfigError, OryxError
from oryx.processing.chat import IGNORED
from oryx.processing.collate import EncodedSample, pack_rows
from oryx.processing.processor import OryxProcessor
from oryx.training.sections.data import DataSection
from oryx.training.sections.optim import BatchSection

STATS = "stats"
"""Key of a batch's `BatchStats`, beside the model's inputs."""


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
    broken: tuple[str, ...] = ()
    """Records that were left out because they cannot be read: place and reason."""


class Batches(Protocol):
    """Batches by number; number -> the model's inputs and `STATS`."""

    identity: str
    """What tells the records from others; "" of samples that are drawn."""

    def __getitem__(self, number: int) -> dict[str, Any]: ...

    def num_batches(self, epochs: float) -> int: ...


class Packer:
    """Encodes samples and packs them, with errors that name the sample."""

    def __init__(self, processor: OryxProcessor, data: DataSection, batch: BatchSection) -> None:
        self.processor = processor
        self.supervise = data.supervise
        self.row_length = batch.row_length
        self.rows = batch.rows

    def encode(self, name: str, conversations: Sequence[Any], visuals: Sequence[Any]) -> EncodedSample:
        """Raises the errors of `encode_sample`, which then begin with the name."""
        try:
            return self.processor.encode_sample(conversations, visuals, supervise=self.supervise)
        except OryxError as error:
            raise type(error)(f"{name}: {error}") from None

    def check_length(self, name: str, length: int) -> None:
        """Raises ConfigError for a sample that fits no row."""
        if length > self.row_length:
            raise ConfigError(
                f"{name} has {length} positions, more than batch.row_length ({self.row_length}); "
                "raise it, or the sample's compression."
            )

    def pack(
        self, samples: list[EncodedSample], names: Sequence[str], broken: Sequence[str] = ()
    ) -> dict[str, Any]:
        """The model's inputs and `STATS`; without samples, one row of padding that teaches nothing."""
        pad_id = self.processor.tokenizer.pad_token_id
        batch: dict[str, Any] = (
            pack_rows(samples, self.row_length, pad_id) if samples else self._padding(pad_id)
        )
        used = sum(map(len, samples))
        batch[STATS] = BatchStats(len(samples), used, batch["input_ids"].numel(), tuple(names), tuple(broken))
        return batch

    def _padding(self, pad_id: int) -> dict[str, Any]:
        shape = (1, self.row_length)
        return {
            "input_ids": torch.full(shape, pad_id),
            "labels": torch.full(shape, IGNORED),
            "position_ids": torch.arange(self.row_length)[None],
        }
