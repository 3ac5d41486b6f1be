"""Padding and packing: nothing of one sample leaks into another, and visuals keep their order."""

import numpy as np
import pytest
import torch

from oryx.errors import AlignmentError, ConfigError
from oryx.processing.collate import EncodedSample, first_fit, pack_rows, pad_batch

PAD = 99


def make_sample(length: int, num_visuals: int = 0, first: int = 0, labels: bool = True) -> EncodedSample:
    ids = np.arange(first, first + length)
    return EncodedSample(
        ids=ids,
        labels=ids.copy() if labels else None,
        patches=np.full((num_visuals, 12), first, dtype=np.uint8) if num_visuals else None,
        grids=np.ones((num_visuals, 2), dtype=np.int64),
        compressions=np.ones(num_visuals, dtype=np.int64),
        visual_lengths=np.ones(num_visuals, dtype=np.int64),
        visual_kinds=np.zeros(num_visuals, dtype=np.int64),
        spans=[(index, index + 1) for index in range(num_visuals)],
    )


def test_padding_right_and_left() -> None:
    samples = [make_sample(2), make_sample(3, first=10)]
    right, left = pad_batch(samples, PAD), pad_batch(samples, PAD, "left")
    assert right["input_ids"].tolist() == [[0, 1, PAD], [10, 11, 12]]
    assert right["attention_mask"].tolist() == [[1, 1, 0], [1, 1, 1]]
    assert right["labels"].tolist() == [[0, 1, -100], [10, 11, 12]]
    assert left["input_ids"].tolist() == [[PAD, 0, 1], [10, 11, 12]]
    assert left["attention_mask"].tolist() == [[0, 1, 1], [1, 1, 1]]


def test_visuals_are_packed_in_order_and_absent_for_text() -> None:
    batch = pad_batch([make_sample(3, 2, first=1), make_sample(3), make_sample(3, 1, first=2)], PAD)
    assert batch["patches"][:, 0].tolist() == [1, 1, 2]
    assert batch["grids"].shape == (3, 2)
    assert batch["visual_lengths"].tolist() == [1, 1, 1]
    assert set(pad_batch([make_sample(3)], PAD)) == {"input_ids", "attention_mask", "labels"}


def test_labels_only_if_all_samples_have_them() -> None:
    assert "labels" not in pad_batch([make_sample(2), make_sample(2, labels=False)], PAD)


def test_first_fit() -> None:
    assert first_fit([5, 4, 3, 6, 1], 8) == [[0, 2], [1, 4], [3]]
    assert first_fit([], 8) == []
    with pytest.raises(ConfigError, match="sample 1 has 9 positions"):
        first_fit([1, 9], 8)


def test_packed_rows() -> None:
    samples = [make_sample(3, 1, 10), make_sample(4, 1, 20), make_sample(2, 1, 30)]
    batch = pack_rows(samples, 6, PAD)
    assert "attention_mask" not in batch
    assert batch["input_ids"].tolist() == [[10, 11, 12, 30, 31, PAD], [20, 21, 22, 23, PAD, PAD]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 0, 1, 0], [0, 1, 2, 3, 0, 1]]
    # no sample's first token is predicted from another sample, and padding is never supervised
    assert batch["labels"].tolist() == [[-100, 11, 12, -100, 31, -100], [-100, 21, 22, 23, -100, -100]]
    assert batch["patches"][:, 0].tolist() == [10, 30, 20]  # row by row, not in the order given


def test_a_full_row_has_no_padding() -> None:
    batch = pack_rows([make_sample(4), make_sample(2)], 6, PAD)
    assert torch.equal(batch["position_ids"], torch.tensor([[0, 1, 2, 3, 0, 1]]))


def test_refusals() -> None:
    with pytest.raises(ConfigError, match="padding_side"):
        pad_batch([make_sample(2)], PAD, "middle")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="at least one sample"):
        pad_batch([], PAD)
    embedded = make_sample(3, 1)
    object.__setattr__(embedded, "patches", None)
    assert "patches" not in pad_batch([embedded], PAD)
    with pytest.raises(AlignmentError, match="patches or embeddings"):
        pad_batch([embedded, make_sample(3, 1)], PAD)
