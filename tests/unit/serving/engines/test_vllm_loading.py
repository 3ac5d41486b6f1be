"""A start of vLLM that nobody wants any more ends, with all that it has started."""

import asyncio
import multiprocessing
import threading
import time

import pytest

from oryx.serving.engine import EngineStopped
from oryx.serving.engines.vllm_loading import PROCESSES, Loading


def run(start, load):
    """Cancel a start, as a server does that gets a signal; returns what `abandon` does."""

    async def main():
        loading = Loading(load)
        waiting = asyncio.create_task(loading.result())
        await asyncio.to_thread(start.wait)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        return await asyncio.wait_for(loading.abandon(), timeout=20)

    return asyncio.run(main())


def test_processes_that_are_there_are_ended():
    started = threading.Event()
    processes = []

    def load(check_wanted):
        check_wanted()
        process = multiprocessing.get_context("spawn").Process(
            target=time.sleep, args=(60,), name=f"{PROCESSES}_DP0"
        )
        process.start()
        processes.append(process)
        started.set()
        process.join()
        raise RuntimeError("it ended")

    assert run(started, load) is None
    assert processes[0].exitcode not in (0, None)


def test_processes_that_are_not_there_are_not_started():
    begun, is_wanted = threading.Event(), []

    def load(check_wanted):
        begun.set()
        for _ in range(100):
            try:
                check_wanted()
            except EngineStopped:
                is_wanted.append(False)
                raise
            time.sleep(0.05)

    assert run(begun, load) is None
    assert is_wanted == [False]


def test_what_was_loaded_all_the_same_is_handed_over_to_be_shut_down():
    begun = threading.Event()

    def load(check_wanted):
        begun.set()
        time.sleep(0.5)
        return "engine"

    assert run(begun, load) == "engine"


def test_a_start_that_goes_well_or_wrong():
    async def main(load):
        return await Loading(load).result()

    assert asyncio.run(main(lambda check_wanted: "engine")) == "engine"
    with pytest.raises(ZeroDivisionError):
        asyncio.run(main(lambda check_wanted: 1 / 0))
