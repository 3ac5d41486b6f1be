"""Threads that work, and end when they are told to."""

import threading

import pytest

from oryx.data.builders.needle.workers import Workers


def test_results_and_errors_come_back():
    workers = Workers(lambda number: 10 // number, 2)
    for number in (1, 2, 5):
        workers.give(number)
    assert sorted(workers.take() for _ in range(3)) == [(1, 10), (2, 5), (5, 2)]
    assert workers.num_pending == 0
    assert workers.take(wait=False) is None
    workers.give(0)
    with pytest.raises(ZeroDivisionError):
        workers.take()
    workers.close()


def test_threads_end_when_it_is_closed_and_what_waits_is_not_begun():
    begun, release, threads = [], threading.Event(), []

    def work(number):
        begun.append(number)
        threads.append(threading.current_thread())
        release.wait(5)
        return number

    workers = Workers(work, 2)
    for number in range(5):
        workers.give(number)
    while len(begun) < 2:
        release.wait(0.01)
    workers.close()
    release.set()
    for thread in threads:
        thread.join(5)
    assert not any(thread.is_alive() for thread in threads)
    assert sorted(begun) == [0, 1]
    assert sorted(workers.take() for _ in range(2)) == [(0, 0), (1, 1)]
