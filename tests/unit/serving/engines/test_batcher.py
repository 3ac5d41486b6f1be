"""Answers between the manager's thread and whoever takes them."""

import asyncio

import pytest

from oryx.serving.engine import EngineStopped
from oryx.serving.engines.batcher import Answer


def take(answer):
    return asyncio.run(asyncio.wait_for(answer.more(), 1))


def test_ids_that_came_since_are_taken_together():
    answer = Answer("a")
    answer.extend([1], False)
    assert take(answer) == [1]
    answer.extend([1, 2], False)
    answer.extend([1, 2, 3], True)
    assert answer.is_finished
    assert take(answer) == [2, 3]


def test_the_first_error_is_told():
    answer = Answer("a")
    answer.extend([1], False)
    answer.fail("the roof fell in")
    answer.fail("the engine was stopped")
    with pytest.raises(EngineStopped, match="the roof fell in"):
        take(answer)


def test_what_is_finished_is_given_out_although_the_engine_ends():
    answer = Answer("a")
    answer.extend([1], True)
    answer.fail("the engine was stopped")
    assert take(answer) == [1]
