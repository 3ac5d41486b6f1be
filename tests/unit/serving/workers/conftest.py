"""A pool of nano's workers for all tests, in one event loop, and the processor they are compared with."""

import asyncio
import gc
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from stand_in_pool import make_pool

from oryx.cli.forecast import make_planner
from oryx.loading import load_processor, resolve_folder
from oryx.processing.processor import OryxProcessor
from oryx.serving.encoding import EncodingJob, EncodingLimits
from oryx.serving.workers.pool import EncodingPool

EXAMPLES = Path(__file__).parents[4] / "examples"
LIMITS = EncodingLimits(max_seconds=1.5, max_memory=192 * 2**20, max_frames=100, max_pixels=20_000_000)


@pytest.fixture(scope="session", autouse=True)
def quick_collections() -> Iterator[None]:
    """What was imported need not be looked at each time that a test collects garbage."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="session")
def examples() -> Path:
    """The folder of the project's example media."""
    return EXAMPLES


@pytest.fixture(scope="session")
def run() -> Iterator[Callable[..., Any]]:
    """Runs a coroutine in the loop in which the pool lives."""
    with asyncio.Runner() as runner:
        yield runner.run


@pytest.fixture(scope="session")
def pool(run: Callable[..., Any], examples: Path) -> Iterator[EncodingPool]:
    """Two workers with tight limits; files of the examples are open to it."""
    pool = EncodingPool("nano", 2, LIMITS, media_root=examples, max_queue=40, max_threads=1)
    run(pool.start())
    yield pool
    run(pool.stop())


@pytest.fixture(scope="session")
def processor() -> OryxProcessor:
    """nano's, with the planner that a pool would make."""
    folder = resolve_folder("nano")
    processor = load_processor(folder)
    processor.planner = make_planner(folder)
    return processor


def ask(*parts: Any, question: str = "What is it?", **settings: Any) -> EncodingJob:
    """A job with these parts and a question after them."""
    content = [*parts, {"type": "text", "text": "\n" + question}]
    return EncodingJob(({"role": "user", "content": content},), **settings)


@pytest.fixture(name="ask", scope="session")
def ask_fixture() -> Callable[..., EncodingJob]:
    return ask


@pytest.fixture(scope="session")
def png() -> bytes:
    """A small picture."""
    encoded = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").resize((80, 64)).save(encoded, "PNG")
    return encoded.getvalue()


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
