"""Pools of workers without a model, for tests of what is around a job."""

import asyncio
from typing import Any

import pytest

from oryx.processing.budget import Planner
from oryx.processing.geometry import ResizeRule
from oryx.serving.encoding import EncodingJob, EncodingLimits
from oryx.serving.errors import RequestError
from oryx.serving.workers.pool import EncodingPool

LIMITS = EncodingLimits(max_seconds=0.6, max_memory=64 * 2**20)


def make_pool(num_workers: int = 2, **settings: Any) -> EncodingPool:
    planner = Planner(ResizeRule())
    return EncodingPool("nano", num_workers, LIMITS, planner=planner, program="stand_in_worker", **settings)


def job(question: str) -> EncodingJob:
    return EncodingJob(({"role": "user", "content": question},))


async def answer(pool: EncodingPool, question: str) -> int:
    return int((await pool.encode(job(question))).sample.ids[0])


async def refusal(pool: EncodingPool, question: str) -> RequestError:
    with pytest.raises(RequestError) as error:
        await pool.encode(job(question))
    return error.value


async def ready(pool: EncodingPool) -> None:
    async with asyncio.timeout(20):
        while pool.num_ready < pool.num_workers or pool.num_busy:
            await asyncio.sleep(0.01)
