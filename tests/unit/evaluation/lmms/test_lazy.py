"""A list that is made while it is read."""

import pytest

from oryx.evaluation.lmms.lazy import LazyList


def counting(made, count=3):
    for number in range(count):
        made.append(number)
        yield number * 10
    made.append("end")


def test_items_are_made_one_by_one():
    made = []
    items = LazyList(counting(made), 3)
    assert len(items) == 3
    assert made == []
    for index, item in enumerate(items):
        assert item == index * 10
        assert made[: index + 1] == list(range(index + 1))
    assert made == [0, 1, 2, "end"]  # what comes after the last item happened too


def test_items_are_made_once_and_found_by_place():
    made = []
    items = LazyList(counting(made), 3)
    assert items[1] == 10
    assert made == [0, 1]
    assert items[-1] == 20
    assert items[:2] == [0, 10]
    assert list(items) == [0, 10, 20]
    assert made == [0, 1, 2, "end"]


def test_there_is_nothing_beyond_the_end():
    items = LazyList(counting([]), 3)
    for place in (3, -4):
        with pytest.raises(IndexError):
            items[place]
    assert list(LazyList(iter(()), 0)) == []
