"""The learning rate's course."""

import pytest

from oryx.training.schedule import Schedule


@pytest.mark.parametrize("kind", ["cosine", "constant", "linear", "wsd"])
def test_warms_up_from_above_zero_to_the_peak(kind):
    schedule = Schedule(kind, steps=100, warmup=9, decay=20)
    assert [schedule(step) for step in (0, 4, 9)] == pytest.approx([0.1, 0.5, 1.0])


@pytest.mark.parametrize("kind", ["cosine", "linear", "wsd"])
def test_falls_to_the_floor_and_stays(kind):
    schedule = Schedule(kind, steps=100, warmup=0, decay=20, floor=0.1)
    values = [schedule(step) for step in range(101)]
    assert values == sorted(values, reverse=True)
    assert values[-1] == pytest.approx(0.1)
    assert schedule(500) == pytest.approx(0.1)


def test_halfway():
    assert Schedule("cosine", 100, 0, 0)(50) == pytest.approx(0.5)
    assert Schedule("linear", 100, 0, 0)(25) == pytest.approx(0.75)
    assert Schedule("constant", 100, 0, 0)(99) == 1.0


def test_wsd_is_stable_until_its_decay():
    schedule = Schedule("wsd", steps=100, warmup=10, decay=20)
    assert {schedule(step) for step in range(10, 81)} == {1.0}
    assert schedule(90) == pytest.approx(0.5)


def test_a_warmup_longer_than_the_run_is_no_error():
    assert Schedule("cosine", steps=5, warmup=10, decay=0)(4) == pytest.approx(5 / 11)
