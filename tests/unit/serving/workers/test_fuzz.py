"""Media changed at random: every one becomes a prompt or a refusal, and no worker is the worse for it."""

import asyncio
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from mutations import NAMES, mutate

from oryx.serving.engine import Prompt
from oryx.serving.errors import RequestError


def outcomes(pool: Any, run: Any, ask: Any, examples: Path, number: int, seed: int) -> Counter[str]:
    """How many of so many mutations became what."""
    chance, contents = random.Random(seed), [(examples / name).read_bytes() for name in NAMES]
    jobs = []
    for index in range(number):
        name = NAMES[index % len(NAMES)]
        data = mutate(contents[index % len(NAMES)], chance)
        kind = "video" if name.endswith(".mp4") == (chance.random() < 0.9) else "image"
        video = {"max_frames": 4, "keyframes": chance.random() < 0.2} if kind == "video" else {}
        jobs.append(ask({"type": kind, kind: data, "compression": 16, **video}))

    async def all_of_them() -> list[Any]:
        limit = asyncio.Semaphore(8)

        async def one(job: Any) -> Any:
            async with limit:
                return await pool.encode(job)

        return await asyncio.gather(*map(one, jobs), return_exceptions=True)

    counts: Counter[str] = Counter()
    for result in run(all_of_them()):
        if isinstance(result, Prompt):
            counts["a prompt"] += 1
            continue
        assert isinstance(result, RequestError), result
        assert 400 <= result.status < 500
        assert str(result).endswith(".")
        counts[str(result.status)] += 1
    print(f"\n{number} mutations: {dict(counts)}, {pool.num_restarts} workers replaced")
    return counts


def check(pool: Any, run: Any, ask: Any, examples: Path, processor: Any, number: int, seed: int) -> None:
    counts = outcomes(pool, run, ask, examples, number, seed)
    assert sum(counts.values()) == number
    assert counts["a prompt"] > number / 20  # some are still pictures
    assert counts["400"] > number / 4
    job = ask({"type": "image", "image": (examples / "scene.png").read_bytes()})
    expected = processor.encode_messages(list(job.messages))
    for _ in range(4):  # either worker
        assert (run(pool.encode(job)).sample.ids == expected.ids).all()


def test_200_mutations(pool, run, ask, examples: Path, processor):
    check(pool, run, ask, examples, processor, 200, seed=0)


@pytest.mark.slow
def test_2000_mutations(pool, run, ask, examples: Path, processor):
    check(pool, run, ask, examples, processor, 2000, seed=1)
