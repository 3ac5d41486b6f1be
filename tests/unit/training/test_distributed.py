"""Several processes agree: on values, on what rank 0 did, and on errors."""

import os
import signal
import time

import pytest
from accelerate.state import AcceleratorState
from ranks import RankFailed, run_ranks

from oryx.errors import ConfigError, OryxError
from oryx.training.distributed import World, is_lost_process, join_world, leave_world


def exchange():
    world = join_world()
    ran = []
    value = world.on_main(lambda: ran.append(world.rank) or f"from {world.rank}")
    return {
        "rank": world.rank,
        "size": world.size,
        "gathered": world.gather(10 + world.rank),
        "sums": world.sums([1, world.rank]),
        "maxima": world.maxima([1, 2 * world.rank]),
        "from main": world.from_main(world.rank),
        "on main": value,
        "ran": ran,
    }


def test_values_reach_all():
    first, second = run_ranks(2, exchange)
    assert (first.pop("rank"), second.pop("rank")) == (0, 1)
    assert (first.pop("ran"), second.pop("ran")) == ([0], [])
    assert first == second
    assert first == {
        "size": 2,
        "gathered": [10, 11],
        "sums": [2.0, 1.0],
        "maxima": [1.0, 2.0],
        "from main": 0,
        "on main": "from 0",
    }


def fail(kind, failing_ranks):
    world = join_world()
    try:
        with world.together():
            if world.rank in failing_ranks:
                raise kind(f"rank {world.rank} cannot.")
    except Exception as error:
        return type(error), str(error), getattr(error, "is_echo", False)
    return None


@pytest.mark.parametrize(
    ("kind", "failing", "own", "echoed"),
    [
        (ConfigError, (1,), "rank 1 cannot.", "rank 1 cannot."),
        (ConfigError, (0, 1), "rank 0 cannot.", "rank 0 cannot."),
        (KeyError, (1,), "'rank 1 cannot.'", "process 1 ended with KeyError: 'rank 1 cannot.'"),
    ],
)
def test_an_error_on_one_is_an_error_on_all_and_said_once(kind, failing, own, echoed):
    seen = run_ranks(2, fail, kind, failing)
    speaker, listener = failing[0], 1 - failing[0]
    assert seen[speaker] == (kind, own, False)
    assert seen[listener] == (kind if kind is ConfigError else OryxError, echoed, True)


def test_without_an_error_nothing_is_raised():
    assert run_ranks(2, fail, ConfigError, ()) == [None, None]


def fail_on_main():
    world = join_world()
    try:
        world.on_main(lambda: 1 / 0)
    except Exception as error:
        return str(error)


def test_what_fails_on_rank_0_fails_everywhere():
    assert run_ranks(2, fail_on_main) == [
        "division by zero",
        "process 0 ended with ZeroDivisionError: division by zero",
    ]


def lose_one():
    world = join_world()
    world.gather(None)
    if world.rank == 1:
        leave_world()
        return None
    try:
        world.gather(None)
    except Exception as error:
        return is_lost_process(error)
    return "nothing was noticed"


def test_a_process_that_is_gone_is_told_from_other_errors():
    assert run_ranks(2, lose_one) == [True, None]
    assert not is_lost_process(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


def kill_one():
    world = join_world()
    world.gather(None)
    if world.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    world.gather(None)


def fail_before_the_kill_is_seen():
    world = join_world()
    if world.rank == 0:
        raise ConnectionError("the other one is gone")
    time.sleep(0.2)
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("function", [kill_one, fail_before_the_kill_is_seen])
def test_a_killed_process_ends_the_run(function):
    with pytest.raises(RankFailed, match="process 1 ended with -9"):
        run_ranks(2, function)


def test_one_process_needs_no_group(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    world = join_world()
    assert (world.rank, world.size, world.is_main) == (0, 1, True)
    assert world.gather(3) == [3]
    assert world.sums([1, 2]) == world.maxima([1, 2]) == [1, 2]
    assert world.on_main(lambda: 4) == world.from_main(4) == 4
    with pytest.raises(ValueError, match="as it was"), World().together():
        raise ValueError("as it was")


@pytest.fixture
def _forgetful():
    """accelerate keeps half a state of a launch that failed, and sets variables for it."""
    variables = dict(os.environ)
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)
    os.environ.clear()
    os.environ.update(variables)


@pytest.mark.usefixtures("_forgetful")
def test_an_incomplete_launch_is_a_sentence(monkeypatch):
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="cannot reach each other") as error:
        join_world()
    assert "torchrun" in str(error.value)
