"""What happens to jobs when clients leave, time runs out and workers die. No worker has a model here."""

import asyncio
import os
import signal
import time

import pytest
from stand_in_pool import answer, ready, refusal

from oryx.serving.workers import pool as pool_module
from oryx.serving.workers.pool import EncodingPool


def test_every_job_gets_its_own_answer(with_pool):
    async def test(pool: EncodingPool) -> None:
        answers = await asyncio.gather(*(answer(pool, f"say {number}") for number in range(300)))
        assert answers == list(range(300))
        assert len({await answer(pool, "pid") for _ in range(50)}) == 2

    with_pool(test, max_queue=300)


def test_a_job_out_of_time_leaves_its_worker(with_pool):
    async def test(pool: EncodingPool) -> None:
        pid, began = await answer(pool, "pid"), time.monotonic()
        error = await refusal(pool, "sleep 30")
        assert (error.status, error.code) == (422, "decoding_too_slow")
        assert "0.6 s" in str(error)
        assert time.monotonic() - began < 2
        assert await answer(pool, "pid") == pid
        assert await answer(pool, "sleep 0.4") == 0  # and its time begins anew

    with_pool(test, num_workers=1)


def test_a_worker_that_hears_nothing_is_killed_in_time(with_pool, monkeypatch):
    monkeypatch.setattr(pool_module, "GRACE_SECONDS", 0.4)

    async def test(pool: EncodingPool) -> None:
        pids, began = {worker.pid for worker in pool._workers}, time.monotonic()
        results = await asyncio.gather(
            refusal(pool, "deaf 30"), *(answer(pool, "sleep 0.05") for _ in range(4))
        )
        assert (results[0].status, results[0].code) == (422, "decoding_too_slow")
        assert 0.9 < time.monotonic() - began < 2.5
        assert await answer(pool, "say 5") == 5
        await ready(pool)
        assert len(pids & {worker.pid for worker in pool._workers}) == 1
        assert pool.num_restarts == 1
        os.kill(pool._idle[0].pid, signal.SIGSTOP)
        assert (await refusal(pool, "say 1")).code == "decoding_too_slow"
        assert await answer(pool, "say 6") == 6

    with_pool(test)


@pytest.mark.parametrize("end", ["die 0", "die 3", "signal 9", "signal 11"])
def test_a_worker_that_dies_takes_no_other_job_with_it(end: str, with_pool):
    async def test(pool: EncodingPool) -> None:
        results = await asyncio.gather(refusal(pool, end), *(answer(pool, f"say {n}") for n in range(20)))
        assert (results[0].status, results[0].code) == (422, "unprocessable")
        assert results[1:] == list(range(20))
        await ready(pool)
        assert pool.num_restarts == 1

    with_pool(test)


def test_a_worker_that_dies_idle_is_replaced(with_pool):
    async def test(pool: EncodingPool) -> None:
        for worker in list(pool._workers):
            os.kill(worker.pid, signal.SIGKILL)
        async with asyncio.timeout(10):
            while pool.num_restarts < 2:
                await asyncio.sleep(0.01)
        assert await asyncio.gather(*(answer(pool, f"say {n}") for n in range(9))) == list(range(9))

    with_pool(test)


def test_an_error_that_nobody_thought_of_is_told_without_its_words(with_pool, caplog):
    async def test(pool: EncodingPool) -> None:
        error = await refusal(pool, "raise")
        assert (error.status, error.code) == (422, "unprocessable")
        assert "passwd" not in str(error)
        assert (await refusal(pool, "hold 100000000")).code == "media_too_large"
        assert pool.num_restarts == 0

    with_pool(test, num_workers=1)
    assert "ValueError: of /etc/passwd" in caplog.text  # but the log has them


def test_a_worker_that_answers_what_none_would_is_replaced(with_pool, caplog):
    async def test(pool: EncodingPool) -> None:
        pid = await answer(pool, "pid")
        error = await refusal(pool, "broken")
        assert (error.status, error.code) == (422, "unprocessable")
        assert await answer(pool, "pid") != pid
        assert pool.num_restarts == 1

    with_pool(test, num_workers=1)
    assert "sent something broken" in caplog.text


def test_a_worker_that_holds_too_much_is_replaced_between_jobs(with_pool):
    async def test(pool: EncodingPool) -> None:
        pid = await answer(pool, "pid")
        assert await answer(pool, "hold 40000000") == 40_000_000
        assert await answer(pool, "pid") != pid
        assert pool.num_restarts == 1

    with_pool(test, num_workers=1)


def test_a_full_queue_is_a_503(with_pool):
    async def test(pool: EncodingPool) -> None:
        jobs = [asyncio.ensure_future(answer(pool, f"sleep 0.0{n}")) for n in range(9)]
        await asyncio.sleep(0)
        assert (pool.num_busy, pool.num_waiting) == (2, 3)
        results = await asyncio.gather(*jobs, return_exceptions=True)
        assert results[:5] == [0] * 5
        assert {(e.status, e.type, e.code) for e in results[5:]} == {(503, "server_error", "queue_full")}
        assert await answer(pool, "say 3") == 3

    with_pool(test, max_queue=3)


def test_who_leaves_the_queue_is_not_served(with_pool):
    async def test(pool: EncodingPool) -> None:
        jobs = [asyncio.ensure_future(answer(pool, f"say {n}")) for n in range(40)]
        await asyncio.sleep(0)
        for task in jobs[1::2]:
            task.cancel()
        results = await asyncio.gather(*jobs, return_exceptions=True)
        assert results[::2] == list(range(0, 40, 2))
        assert all(isinstance(result, asyncio.CancelledError) for result in results[1::2])
        assert pool.num_waiting == 0
        assert pool.num_restarts == 0
        await ready(pool)

    with_pool(test, num_workers=1)


def test_who_leaves_at_the_moment_of_its_turn_passes_it_on(with_pool):
    async def test(pool: EncodingPool) -> None:
        for _ in range(30):
            first, second, third = (asyncio.ensure_future(answer(pool, "say 1")) for _ in range(3))
            await first
            second.cancel()  # its worker may have been promised a moment ago
            assert await third == 1
        assert (pool.num_waiting, len(pool._idle)) == (0, 1)

    with_pool(test, num_workers=1)


def test_a_job_whose_client_left_may_finish_or_is_killed(with_pool, monkeypatch):
    monkeypatch.setattr(pool_module, "ABANDONED_SECONDS", 0.2)

    async def test(pool: EncodingPool) -> None:
        pid = await answer(pool, "pid")
        for question, is_same in (("sleep 0.1", True), ("deaf 20", False)):
            task = asyncio.ensure_future(answer(pool, question))
            await asyncio.sleep(0.03)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            began = time.monotonic()
            assert (await answer(pool, "pid") == pid) is is_same
            assert time.monotonic() - began < 5

    with_pool(test, num_workers=1)
