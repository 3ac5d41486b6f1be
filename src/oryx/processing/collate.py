"""Samples to batches: padded rows, or rows packed full of samples.

Legend: B rows, T positions of a row, P packed patches, C values in a patch, G views, N visuals.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from oryx.errors import AlignmentError, ConfigError
from oryx.processing.chat import IGNORED

PaddingSide = Literal["left", "right"]


@dataclass(frozen=True)
class EncodedSample:
    """One conversation at full length, as numpy arrays. Without visuals the visual arrays have no rows."""

    ids: np.ndarray
    """(T,) int64, the placeholder's id at every position of a visual."""
    labels: np.ndarray | None
    """(T,) int64, -100 where nothing is supervised."""
    patches: np.ndarray | None
    """(P, C) uint8, or None if the visuals' embeddings are supplied instead."""
    grids: np.ndarray
    """(G, 2) int64: height and width in patches, one per view."""
    compressions: np.ndarray
    """(G,) int64."""
    visual_lengths: np.ndarray
    """(N,) int64: views per visual."""
    visual_kinds: np.ndarray
    """(N,) int64."""
    spans: list[tuple[int, int]]
    """(start, stop) of each visual in `ids`."""

    def __len__(self) -> int:
        return len(self.ids)


def pad_batch(
    samples: Sequence[EncodedSample], pad_id: int, padding_side: PaddingSide = "right"
) -> dict[str, Tensor]:
    """One sample per row, padded to the longest.

    Returns: `input_ids`, `attention_mask` and, if every sample has them, `labels` (-100 on padding), all
        (B, T) int64; and the packed visuals of all rows in order (`patches` (P, C) uint8, `grids` (G, 2),
        `compressions` (G,), `visual_lengths` (N,), `visual_kinds` (N,)), which are absent if there are none.
    """
    if padding_side not in ("left", "right"):
        raise ConfigError(f'padding_side must be "left" or "right", not {padding_side!r}.')
    if not samples:
        raise ConfigError("a batch needs at least one sample.")
    shape = (len(samples), max(len(sample) for sample in samples))
    ids_BT = np.full(shape, pad_id, dtype=np.int64)
    mask_BT = np.zeros(shape, dtype=np.int64)
    labels_BT = np.full(shape, IGNORED, dtype=np.int64)
    for row, sample in enumerate(samples):
        place = slice(shape[1] - len(sample), None) if padding_side == "left" else slice(len(sample))
        ids_BT[row, place] = sample.ids
        mask_BT[row, place] = 1
        if sample.labels is not None:
            labels_BT[row, place] = sample.labels
    batch = {"input_ids": torch.from_numpy(ids_BT), "attention_mask": torch.from_numpy(mask_BT)}
    if all(sample.labels is not None for sample in samples):
        batch["labels"] = torch.from_numpy(labels_BT)
    return batch | _visual_tensors(samples)


def pack_rows(samples: Sequence[EncodedSample], row_length: int, pad_id: int) -> dict[str, Tensor]:
    """As many samples to a row as fit, first-fit in their order.

    Positions restart at 0 with every sample and with the padding that fills a row, and there is no
    `attention_mask`: that is how transformers keeps packed samples apart. The first label of each sample is
    -100, since it would be predicted from the end of the sample before.

    Returns: `input_ids`, `labels`, `position_ids` (B, row_length) int64, and the visuals as in `pad_batch`.
    """
    rows = first_fit([len(sample) for sample in samples], row_length)
    ids_BT = np.full((len(rows), row_length), pad_id, dtype=np.int64)
    labels_BT = np.full((len(rows), row_length), IGNORED, dtype=np.int64)
    positions_BT = np.zeros((len(rows), row_length), dtype=np.int64)
    for row, members in enumerate(rows):
        start = 0
        for member in members:
            sample = samples[member]
            stop = start + len(sample)
            ids_BT[row, start:stop] = sample.ids
            positions_BT[row, start:stop] = np.arange(stop - start)
            if sample.labels is not None:
                labels_BT[row, start + 1 : stop] = sample.labels[1:]
            start = stop
        positions_BT[row, start:] = np.arange(row_length - start)
    batch = {
        "input_ids": torch.from_numpy(ids_BT),
        "labels": torch.from_numpy(labels_BT),
        "position_ids": torch.from_numpy(positions_BT),
    }
    return batch | _visual_tensors([samples[member] for members in rows for member in members])


def first_fit(lengths: Sequence[int], row_length: int) -> list[list[int]]:
    """Indices of the samples in each row: a sample goes into the first row with room for it.

    Raises ConfigError for a sample longer than a row.
    """
    rows: list[list[int]] = []
    room: list[int] = []
    for index, length in enumerate(lengths):
        if length > row_length:
            raise ConfigError(
                f"sample {index} has {length} positions, more than a row of {row_length}; "
                "raise the row length or the compression."
            )
        row = next((row for row, free in enumerate(room) if free >= length), len(rows))
        if row == len(rows):
            rows.append([])
            room.append(row_length)
        rows[row].append(index)
        room[row] -= length
    return rows


def _visual_tensors(samples: Sequence[EncodedSample]) -> dict[str, Tensor]:
    """The visuals of all samples, packed in order."""
    seeing = [sample for sample in samples if len(sample.visual_lengths)]
    if not seeing:
        return {}
    out: dict[str, Tensor] = {}
    patches = [sample.patches for sample in seeing if sample.patches is not None]
    if len(patches) == len(seeing):
        out["patches"] = torch.from_numpy(np.concatenate(patches))
    elif patches:
        raise AlignmentError("a batch takes either patches or embeddings for all of its visuals, not both.")
    for name in ("grids", "compressions", "visual_lengths", "visual_kinds"):
        out[name] = torch.from_numpy(np.concatenate([getattr(sample, name) for sample in seeing]))
    return out
