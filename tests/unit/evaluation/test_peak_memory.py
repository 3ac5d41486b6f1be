"""Peaks of a stretch of work are seen, and forgotten where the system can."""

import sys

import numpy as np
import pytest

from oryx.evaluation.peak_memory import PeakMemory

BYTES = 200 * 2**20


def test_a_peak_is_seen():
    memory = PeakMemory("cpu")
    memory.start()
    before = memory.read()
    assert np.ones(BYTES, np.uint8).sum() == BYTES
    assert memory.read() >= before + BYTES // 2


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forgets a peak")
def test_a_peak_is_forgotten():
    memory = PeakMemory("cpu")
    np.ones(BYTES, np.uint8)
    peak = memory.read()
    memory.start()
    if memory.read() == peak:
        pytest.skip("this system does not let a process forget its peak")
    assert memory.read() <= peak - BYTES // 2


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the number that is inherited")
def test_the_peak_is_not_that_of_whoever_started_the_process(monkeypatch):
    import resource

    inherited = resource.struct_rusage((0.0, 0.0, 10**12, *[0] * 13))
    monkeypatch.setattr(resource, "getrusage", lambda _: inherited)
    assert PeakMemory("cpu").read() < 10**12
