"""Rows are full, and batches that belong together cost the same."""

import random

import pytest

from oryx.processing.collate import first_fit
from oryx.training.packing import balance, choose_full, pack_stream, shuffle_near


def test_chosen_samples_find_the_rows_they_were_chosen_for():
    rng = random.Random(0)
    for _ in range(50):
        lengths = [rng.randint(1, 100) for _ in range(40)]
        chosen = choose_full(lengths, [100] * 4)
        assert len(first_fit([lengths[index] for index in chosen], 100)) <= 4
        free = 4 * 100 - sum(lengths[index] for index in chosen)
        left = [lengths[index] for index in set(range(40)) - set(chosen)]
        assert all(length > free // 4 for length in left)  # whatever was left out fits no row


@pytest.mark.parametrize("rooms", [[5000], [700] * 4])
def test_short_and_long_samples_are_chosen_as_often_as_they_are_drawn(rooms):
    rng = random.Random(0)
    drawn, used = [], 0
    lengths = {"word": (20, 40), "picture": (80, 200), "video": (300, 600)}
    for _ in range(300):
        kinds = rng.choices([*lengths], [3, 2, 1], k=200)
        pool = [rng.randint(*lengths[kind]) for kind in kinds]
        while sum(pool[:-1]) > 1.2 * sum(rooms):
            pool.pop()
        chosen = choose_full(pool, rooms)
        drawn += [kinds[index] for index in chosen]
        used += sum(pool[index] for index in chosen)
    assert used / (300 * sum(rooms)) > 0.95
    for kind, weight in zip(lengths, (3, 2, 1)):
        assert drawn.count(kind) / len(drawn) == pytest.approx(weight / 6, rel=0.12)


def test_nothing_is_chosen_of_nothing_or_for_no_room():
    assert choose_full([], [10]) == []
    assert choose_full([20, 30], [10]) == []


def test_a_stream_is_packed_whole_and_tightly():
    rng = random.Random(0)
    lengths = [rng.randint(10, 60) for _ in range(2000)]
    rows = pack_stream(lengths, 100)
    assert sorted(index for row in rows for index in row) == list(range(2000))
    assert all(sum(lengths[index] for index in row) <= 100 for row in rows)
    assert sum(lengths) / (100 * len(rows)) > 0.95


@pytest.mark.parametrize("count", [30, 100, 300])
def test_what_waits_at_the_end_is_packed_tightly_too(count):
    rng = random.Random(count)
    lengths = [rng.randint(5, 60) for _ in range(count)]
    rows = pack_stream(lengths, 100)
    assert sorted(index for row in rows for index in row) == list(range(count))
    assert all(sum(lengths[index] for index in row) <= 100 for row in rows)
    assert len(rows) <= 1 + sum(lengths) / (0.97 * 100)


def test_a_window_keeps_near_what_was_near():
    items = [[number] for number in range(100)]
    shuffle_near(items, random.Random(0), window=10)
    assert items != [[number] for number in range(100)]
    assert all(abs(number - place) < 10 for place, (number,) in enumerate(items))


@pytest.mark.parametrize("num_rows", [1, 2, 6])
@pytest.mark.parametrize("group", [2, 8])
def test_batches_of_a_group_are_balanced(num_rows, group):
    rng = random.Random(0)
    costs = [int(rng.lognormvariate(6, 1)) for _ in range(3000)]
    rows = [[index, index + 1] for index in range(0, 3000, 2)]

    def spread(rows):
        batches = [rows[start : start + num_rows] for start in range(0, len(rows), num_rows)]
        totals = [sum(costs[index] for row in batch for index in row) for batch in batches]
        groups = [totals[start : start + group] for start in range(0, len(totals) // group * group, group)]
        return sum(max(own) / (sum(own) / group) for own in groups) / len(groups)

    balanced = balance(rows, costs, num_rows, group, random.Random(1))
    assert sorted(balanced) == sorted(rows)
    assert spread(balanced) - 1 < 0.3 * (spread(rows) - 1)
    # In time, cheap and costly groups still come in no order.
    first, second = balanced[: len(rows) // 2], balanced[len(rows) // 2 :]
    means = [sum(costs[index] for row in half for index in row) / len(half) for half in (first, second)]
    assert 0.8 < means[0] / means[1] < 1.25


def test_few_rows_are_left_as_they_are():
    rows = [[0], [1], [2]]
    assert balance(rows, [1, 2, 3], 1, 4, random.Random(0)) == rows
