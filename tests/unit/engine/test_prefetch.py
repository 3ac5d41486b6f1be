"""A thread that works ahead: order, bounds, errors, and that nothing is left of it."""

import contextlib
import gc
import threading
import time
import weakref

import pytest

from oryx.engine.prefetch import Prefetcher


def count_threads():
    return sum(thread.name == "oryx-prefetch" for thread in threading.enumerate())


def settle(made, num_expected):
    """Waits until the thread has made so many items, and a little for one too many. A slow machine passes."""
    deadline = time.monotonic() + 60
    while len(made) < num_expected and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(0.05)
    assert len(made) == num_expected


def numbers(made, stop=100, error=None):
    try:
        for number in range(stop):
            made.append(number)
            yield number
        if error:
            raise error
    finally:
        made.append("closed")


def test_items_come_in_order_and_the_source_is_closed():
    made = []
    with Prefetcher(numbers(made), lambda _: 1, 4) as items:
        assert list(items) == list(range(100))
        assert list(items) == []
    assert made[-1] == "closed"
    assert count_threads() == 0


@pytest.mark.parametrize(("size", "limit", "ahead"), [(1, 4, 4), (2, 5, 2), (10, 4, 1)])
def test_it_works_ahead_by_the_limit_and_no_more(size, limit, ahead):
    made = []
    with Prefetcher(numbers(made), lambda _: size, limit) as items:
        settle(made, ahead + 1)  # those that wait, and one in its hands
        next(items)
        settle(made, ahead + 2)


def test_it_works_while_the_reader_does():
    made = []
    with Prefetcher(numbers(made), lambda _: 1, 3) as items:
        assert next(items) == 0
        settle(made, 5)


def test_an_error_is_raised_as_it_is():
    error = KeyError("as it is")
    with Prefetcher(numbers([], 3, error), lambda _: 1, 10) as items, pytest.raises(KeyError) as raised:
        for _ in items:
            pass
    assert raised.value is error
    assert count_threads() == 0


def test_a_reader_that_stops_early_closes_the_source():
    made = []

    def read():
        with Prefetcher(numbers(made), lambda _: 1, 2) as items:
            for item in items:
                if item == 5:
                    raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        read()
    assert made[-1] == "closed"
    assert len(made) < 15
    assert count_threads() == 0


def test_an_error_does_not_keep_the_source_alive():
    class Held:
        pass

    held = Held()
    alive = []

    def source(item):
        alive.append(item is not None)
        yield 1
        raise ValueError

    watched = weakref.ref(held)
    gc.disable()
    try:
        with Prefetcher(source(held), lambda _: 1, 1) as items:
            del held
            with contextlib.suppress(ValueError):
                list(items)
        del items
        assert watched() is None
    finally:
        gc.enable()
