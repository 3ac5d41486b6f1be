"""Shares of places and pages, given in the order of asking."""

import asyncio

import pytest

from oryx.serving.engine import EngineStopped
from oryx.serving.engines.room import Room, Share


async def settle():
    for _ in range(3):
        await asyncio.sleep(0)


def take(room, share, order, name):
    async def wait():
        await room.take(share)
        order.append(name)

    return asyncio.create_task(wait())


def test_shares_wait_for_places_and_for_pages():
    async def run():
        room, order = Room(2, 10), []
        await room.take(Share(1, 4))
        await room.take(Share(1, 4))
        take(room, Share(1, 1), order, "no place")
        await settle()
        assert (order, room.num_wanted) == ([], 3)
        room.give(Share(1, 4))
        await settle()
        assert order == ["no place"]
        room.give(Share(1, 1))
        take(room, Share(1, 7), order, "no pages")
        await settle()
        assert order == ["no place"]
        room.give(Share(1, 4))
        await settle()
        assert order == ["no place", "no pages"]

    asyncio.run(run())


def test_nobody_overtakes():
    async def run():
        room, order = Room(4, 10), []
        await room.take(Share(1, 8))
        take(room, Share(1, 9), order, "large")
        take(room, Share(1, 1), order, "small")
        await settle()
        assert order == []
        room.give(Share(1, 8))
        await settle()
        assert order == ["large", "small"]

    asyncio.run(run())


def test_who_leaves_the_queue_lets_the_next_in():
    async def run():
        room, order = Room(4, 10), []
        await room.take(Share(1, 8))
        large = take(room, Share(1, 9), order, "large")
        take(room, Share(1, 1), order, "small")
        await settle()
        large.cancel()
        await settle()
        assert order == ["small"]
        room.give(Share(1, 8))
        room.give(Share(1, 1))
        await room.take(room.whole)

    asyncio.run(run())


def test_who_leaves_as_the_turn_comes_gives_the_share_back():
    async def run():
        room, order = Room(1, 10), []
        await room.take(Share(1, 1))
        waiting = take(room, Share(1, 10), order, "late")
        await settle()
        room.give(Share(1, 1))  # the turn has come,
        waiting.cancel()  # and nobody is there
        await settle()
        assert order == []
        await asyncio.wait_for(room.take(room.whole), 1)

    asyncio.run(run())


def test_a_closed_room_turns_everybody_away():
    async def run():
        room = Room(1, 1)
        await room.take(Share(1, 1))
        waiting = take(room, Share(1, 1), [], "waits")
        await settle()
        room.close("it is late.")
        with pytest.raises(EngineStopped, match="it is late"):
            await waiting
        with pytest.raises(EngineStopped, match="it is late"):
            await room.take(Share(1, 1))

    asyncio.run(run())
