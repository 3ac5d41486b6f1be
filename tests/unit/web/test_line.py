"""Who came first is answered first."""

from __future__ import annotations

import asyncio
from threading import Event

import pytest

from oryx.web import line as line_module
from oryx.web.line import FullError, Line


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(line_module, "POLL_SECONDS", 0.001)


def test_places_come_in_order():
    async def run():
        line, done, seen = Line(), [], []

        async def person(name):
            place = line.enter()
            async for ahead in line.wait(place, Event()):
                seen.append((name, ahead))
            await asyncio.sleep(0.005)
            done.append(name)
            line.leave(place)

        await asyncio.gather(*(person(name) for name in "abc"))
        return done, seen, len(line)

    done, seen, left = asyncio.run(run())
    assert done == ["a", "b", "c"]
    assert ("b", 1) in seen
    assert ("c", 2) in seen
    assert ("c", 1) in seen
    assert left == 0


def test_a_stop_ends_the_waiting():
    async def run():
        line, stop = Line(), Event()
        line.enter()
        place = line.enter()
        count = 0
        async for _ in line.wait(place, stop):
            count += 1
            stop.set()
        line.leave(place)
        return count, len(line)

    assert asyncio.run(run()) == (1, 1)


def test_a_full_line_says_so():
    line = Line(room=1, longest=1)
    line.enter()
    line.enter()
    with pytest.raises(FullError, match="1 questions are waiting"):
        line.enter()
