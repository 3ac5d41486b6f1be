"""How workers start, what they are given, and how they end. None has a model here."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from stand_in_pool import answer, ready, refusal

from oryx.errors import CheckpointError, ConfigError
from oryx.processing.budget import Planner
from oryx.processing.geometry import ResizeRule
from oryx.serving.encoding import EncodingLimits
from oryx.serving.workers.pool import EncodingPool


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
        assert await answer(pool, "say 1") == 1

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
from oryx.processing.budget import Planner
from oryx.processing.geometry import ResizeRule
from oryx.serving.encoding import EncodingJob, EncodingLimits
from oryx.serving.workers.setup import WorkerSetup
from oryx.serving.workers.worker import WorkerProcess
async def main():
    setup = WorkerSetup(Path("nano"), Planner(ResizeRule()), EncodingLimits(), None, 1, True)
    workers = [WorkerProcess(setup, print, "stand_in_worker") for _ in range(2)]
    for worker in workers:
        await worker.start()
    await workers[0].submit(EncodingJob(({"role": "user", "content": "deaf 60"},)), 0, False)
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
