"""What happens around jobs when clients leave, workers die and servers end; workers have no model here."""

import asyncio
import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from oryx.errors import CheckpointError, ConfigError
from oryx.processing.budget import Planner
from oryx.processing.geometry import ResizeRule
from oryx.serving.encoding import EncodingJob, EncodingLimits
from oryx.serving.errors import RequestError
from oryx.serving.workers import pool as pool_module
from oryx.serving.workers.pool import EncodingPool

LIMITS = EncodingLimits(max_seconds=0.6, max_memory=64 * 2**20)


def make_pool(num_workers: int = 2, **settings: Any) -> EncodingPool:
    planner = Planner(ResizeRule())
    return EncodingPool("nano", num_workers, LIMITS, planner=planner, program="stand_in_worker", **settings)


@pytest.fixture
def with_pool() -> Iterator[Callable[..., Any]]:
    """Runs a test with a fresh pool, and sees to it that nothing is left of it."""
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))

    def run(test: Callable[[EncodingPool], Any], **settings: Any) -> None:
        async def whole() -> None:
            pool = make_pool(**settings)
            await pool.start()
            try:
                await test(pool)
            finally:
                used = {worker.pid for worker in pool._workers}
                await pool.stop()
                assert not any(Path(f"/proc/{pid}").exists() for pid in used)

        asyncio.run(whole())

    yield run
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before


def job(question: str) -> EncodingJob:
    return EncodingJob(({"role": "user", "content": question},))


async def ask(pool: EncodingPool, question: str) -> int:
    return int((await pool.encode(job(question))).sample.ids[0])


async def refusal(pool: EncodingPool, question: str) -> RequestError:
    with pytest.raises(RequestError) as error:
        await pool.encode(job(question))
    return error.value


async def ready(pool: EncodingPool) -> None:
    async with asyncio.timeout(20):
        while pool.num_ready < pool.num_workers or pool.num_busy:
            await asyncio.sleep(0.01)


def test_every_job_gets_its_own_answer(with_pool):
    async def test(pool: EncodingPool) -> None:
        answers = await asyncio.gather(*(ask(pool, f"say {number}") for number in range(300)))
        assert answers == list(range(300))
        assert len({await ask(pool, "pid") for _ in range(50)}) == 2

    with_pool(test, max_queue=300)


def test_a_job_out_of_time_leaves_its_worker(with_pool):
    async def test(pool: EncodingPool) -> None:
        pid, began = await ask(pool, "pid"), time.monotonic()
        error = await refusal(pool, "sleep 30")
        assert (error.status, error.code) == (422, "decoding_too_slow")
        assert "0.6 s" in str(error)
        assert time.monotonic() - began < 2
        assert await ask(pool, "pid") == pid
        assert await ask(pool, "sleep 0.4") == 0  # and its time begins anew

    with_pool(test, num_workers=1)


def test_a_worker_that_hears_nothing_is_killed_in_time(with_pool, monkeypatch):
    monkeypatch.setattr(pool_module, "GRACE_SECONDS", 0.4)

    async def test(pool: EncodingPool) -> None:
        pids, began = {worker.pid for worker in pool._workers}, time.monotonic()
        results = await asyncio.gather(refusal(pool, "deaf 30"), *(ask(pool, "sleep 0.05") for _ in range(4)))
        assert (results[0].status, results[0].code) == (422, "decoding_too_slow")
        assert 0.9 < time.monotonic() - began < 2.5
        assert await ask(pool, "say 5") == 5
        await ready(pool)
        assert len(pids & {worker.pid for worker in pool._workers}) == 1
        assert pool.num_restarts == 1
        os.kill(pool._idle[0].pid, signal.SIGSTOP)
        assert (await refusal(pool, "say 1")).code == "decoding_too_slow"
        assert await ask(pool, "say 6") == 6

    with_pool(test)


@pytest.mark.parametrize("end", ["die 0", "die 3", "signal 9", "signal 11"])
def test_a_worker_that_dies_takes_no_other_job_with_it(end: str, with_pool):
    async def test(pool: EncodingPool) -> None:
        results = await asyncio.gather(refusal(pool, end), *(ask(pool, f"say {n}") for n in range(20)))
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
        assert await asyncio.gather(*(ask(pool, f"say {n}") for n in range(9))) == list(range(9))

    with_pool(test)


def test_an_error_that_nobody_thought_of_is_told_without_its_words(with_pool, caplog):
    async def test(pool: EncodingPool) -> None:
        error = await refusal(pool, "raise")
        assert (error.status, error.code) == (422, "unprocessable")
        assert "passwd" not in str(error)
        assert (await refusal(pool, "broken")).code == "unprocessable"
        assert (await refusal(pool, "hold 100000000")).code == "media_too_large"
        assert pool.num_restarts == 0

    with_pool(test, num_workers=1)
    assert "ValueError: of /etc/passwd" in caplog.text  # but the log has them


def test_a_worker_that_holds_too_much_is_replaced_between_jobs(with_pool):
    async def test(pool: EncodingPool) -> None:
        pid = await ask(pool, "pid")
        assert await ask(pool, "hold 40000000") == 40_000_000
        assert await ask(pool, "pid") != pid
        assert pool.num_restarts == 1

    with_pool(test, num_workers=1)


def test_a_full_queue_is_a_503(with_pool):
    async def test(pool: EncodingPool) -> None:
        jobs = [asyncio.ensure_future(ask(pool, f"sleep 0.0{n}")) for n in range(9)]
        await asyncio.sleep(0)
        assert (pool.num_busy, pool.num_waiting) == (2, 3)
        results = await asyncio.gather(*jobs, return_exceptions=True)
        assert results[:5] == [0] * 5
        assert {(e.status, e.type, e.code) for e in results[5:]} == {(503, "server_error", "queue_full")}
        assert await ask(pool, "say 3") == 3

    with_pool(test, max_queue=3)


def test_who_leaves_the_queue_is_not_served(with_pool):
    async def test(pool: EncodingPool) -> None:
        jobs = [asyncio.ensure_future(ask(pool, f"say {n}")) for n in range(40)]
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
            first, second, third = (asyncio.ensure_future(ask(pool, "say 1")) for _ in range(3))
            await first
            second.cancel()  # its worker may have been promised a moment ago
            assert await third == 1
        assert (pool.num_waiting, len(pool._idle)) == (0, 1)

    with_pool(test, num_workers=1)


def test_a_job_whose_client_left_may_finish_or_is_killed(with_pool, monkeypatch):
    monkeypatch.setattr(pool_module, "ABANDONED_SECONDS", 0.2)

    async def test(pool: EncodingPool) -> None:
        pid = await ask(pool, "pid")
        for question, is_same in (("sleep 0.1", True), ("deaf 20", False)):
            task = asyncio.ensure_future(ask(pool, question))
            await asyncio.sleep(0.03)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            began = time.monotonic()
            assert (await ask(pool, "pid") == pid) is is_same
            assert time.monotonic() - began < 5

    with_pool(test, num_workers=1)


def test_stopping_ends_what_waits_and_what_works(with_pool):
    async def test(pool: EncodingPool) -> None:
        jobs = [asyncio.ensure_future(refusal(pool, "deaf 20")) for _ in range(4)]
        await asyncio.sleep(0.05)
        began = time.monotonic()
        await pool.stop()
        errors = await asyncio.gather(*jobs)
        assert time.monotonic() - began < 1
        assert {(error.status, error.code) for error in errors} == {(503, "stopping")}
        assert (await refusal(pool, "say 1")).status == 503
        await pool.stop()

    with_pool(test)


def test_a_pool_that_cannot_start_says_why(tmp_path: Path):
    def start(model: str | Path = "nano", **settings: Any) -> None:
        asyncio.run(EncodingPool(model, 1, planner=Planner(ResizeRule()), **settings).start())

    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="the folder is broken"):
        start(tmp_path / "broken", program="stand_in_worker")
    with pytest.raises(CheckpointError, match="neither nano"):
        start(tmp_path / "none")
    with pytest.raises(ConfigError, match="cannot be started: it ended with 1"):
        start(program="no_such_module")
    with pytest.raises(ConfigError, match="at least 1 worker"):
        EncodingPool("nano", 0)
    with pytest.raises(ConfigError, match="max_seconds must be above 0"):
        EncodingLimits(max_seconds=0)


def test_without_workers_jobs_do_not_wait_for_ever(with_pool, caplog):
    async def test(pool: EncodingPool) -> None:
        (worker,) = pool._workers
        pool._program = "no_such_module"
        os.kill(worker.pid, signal.SIGKILL)
        async with asyncio.timeout(10):
            while not pool._is_failing:
                await asyncio.sleep(0.01)
        error = await refusal(pool, "say 1")
        assert (error.status, error.code) == (503, "no_worker")
        pool._program = "stand_in_worker"  # whatever it was, it is over
        await ready(pool)
        assert await ask(pool, "say 1") == 1

    with_pool(test, num_workers=1)
    assert "next try in 1 s" in caplog.text


def test_workers_know_no_secrets(with_pool, monkeypatch):
    secrets = ("OPENAI_API_KEY", "HF_TOKEN", "ORYX_API_KEY", "AWS_SECRET_ACCESS_KEY", "HTTP_PROXY")
    for name in secrets:
        monkeypatch.setenv(name, "secret")

    async def test(pool: EncodingPool) -> None:
        names = set(str(await refusal(pool, "environment")).split())
        assert "PATH" in names
        assert (
            not {"OPENAI_API_KEY", "HF_TOKEN", "ORYX_API_KEY", "AWS_SECRET_ACCESS_KEY", "HTTP_PROXY"} & names
        )

    with_pool(test, num_workers=1)


SERVER = """
import asyncio
from pathlib import Path
from oryx.serving.encoding import EncodingJob, EncodingLimits
from oryx.serving.workers.setup import WorkerSetup
from oryx.serving.workers.worker import WorkerProcess
async def main():
    setup = WorkerSetup(Path("nano"), None, EncodingLimits(), None, 1, True)
    workers = [WorkerProcess(setup, print, "stand_in_worker") for _ in range(2)]
    for worker in workers:
        await worker.start()
    await workers[0].submit(EncodingJob(({"role": "user", "content": "deaf 60"},)), 0)
    print(*[worker.pid for worker in workers], flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


def test_workers_end_with_a_server_that_is_killed():
    """Idle or at work."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert server.stdout is not None
    with server.stdout:
        pids = [int(pid) for pid in server.stdout.readline().split()]
        assert len(pids) == 2
        assert all(map(is_alive, pids))
        server.kill()
        server.wait()
    until = time.monotonic() + 10
    while any(map(is_alive, pids)) and time.monotonic() < until:
        time.sleep(0.02)
    assert not any(map(is_alive, pids))


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and is not yet reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
