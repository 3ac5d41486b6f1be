"""Packed rows against padded samples: how samples are laid out, and what is compared with what."""

import numpy as np
import pytest

from oryx.processing.collate import EncodedSample

LENGTHS = (5, 30, 6, 31, 7)
PAD = 0


@pytest.fixture
def training(load):
    return load("training")


def sample(length):
    none = np.zeros(0, dtype=np.int64)
    ids = np.arange(1, length + 1)
    pairs = np.zeros((0, 2), dtype=np.int64)
    return EncodedSample(ids, ids, np.zeros((0, 4), dtype=np.uint8), pairs, none, none, none, [])


def shapes(training, **settings):
    passes = training.make_passes(list(map(sample, LENGTHS)), PAD, training.Case("", **settings))
    return [tuple(batch["input_ids"].shape) for batch in passes]


def test_samples_are_padded_to_the_longest_of_their_pass(training):
    assert shapes(training, samples=2) == [(2, 30), (2, 31), (1, 7)]
    assert shapes(training, samples=2, by_length=True) == [(2, 6), (2, 30), (1, 31)]
    assert shapes(training, samples=0) == [(5, 31)]
    assert shapes(training) == [(1, training.ROW_LENGTH)]


def test_every_size_is_tried_in_both_orders_where_the_order_changes_anything(training):
    tried = {(case.samples, case.by_length) for case in training.PADDED}
    assert tried == {(size, False) for size in (1, 2, 4, 8, 0)} | {(size, True) for size in (2, 4, 8)}


def test_speed_and_memory_are_of_the_same_loop(training, load):
    def measured(seconds, peak):
        return training.Measured(floor=100, fill=1.0, peak=peak, seconds=[seconds] * 3, samples=[6, 6, 6])

    cases = {case: measured(8.0, 1000) for case in training.PADDED}
    cases[training.PADDED[2]] = measured(4.0, 300)
    report = load("common").Report("training")
    training.add(report, "large", {training.PACKED: measured(1.0, 200), **cases}, is_large=True)

    figures = {row["figure"]: row for row in report.rows}
    name = f"large: packed against {training.PADDED[2].name}, the fastest"
    assert figures[f"{name}: speed"]["value"] == 4
    assert figures[f"{name}: peak memory"]["value"] == pytest.approx(2 / 3)
    assert figures[f"{name}: above weights and optimiser"]["value"] == 0.5
    other = f"large: packed against {training.PADDED[0].name}"
    assert figures[f"{other}: speed"]["value"] == 8
    assert figures[f"{other}: peak memory"]["value"] == 0.2


def test_the_rate_is_of_all_samples_in_all_the_time(training):
    own = training.Measured(floor=0, fill=1.0, seconds=[1.0, 3.0], samples=[10, 2])
    assert own.rate == 3


def test_layouts_that_train_differently_are_told(training):
    training.check_same({"packed rows": 1.0, "padded": 1.0005})
    with pytest.raises(SystemExit, match="differently"):
        training.check_same({"packed rows": 1.0, "padded": 1.01})


def test_all_cases_compute_the_same_losses(training):
    losses = {}
    for case in (training.PACKED, training.PADDED[1], training.PADDED[4]):
        first, *steps = training.child(case, vocabulary=0, positions=training.ROW_LENGTH, steps=2)
        assert first["floor"] > 0
        assert 0 < first["fill"] <= 1
        assert all(step["seconds"] > 0 and step["peak"] >= first["floor"] for step in steps)
        losses[case.name] = [step["loss"] for step in steps]
    for step in range(2):
        training.check_same({name: own[step] for name, own in losses.items()})
