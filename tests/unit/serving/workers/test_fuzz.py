"""Media changed at random: every one becomes a prompt or a refusal, and no worker is the worse for it."""

import asyncio
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from oryx.serving.engine import Prompt
from oryx.serving.errors import RequestError

NAMES = ("scene.png", "sign.png", "page.png", "coffee.jpg", "moving.mp4", "order.mp4")
SIGNATURES = (
    *(b"GIF89a", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBPVP8 ", b"\xff\xd8", b"II*\0", b"BM", b"%!PS"),
    *(b"\0\0\0\x1cftypavif", b"\0\0\0\x18ftypmp42", b"\x1aE\xdf\xa3", b"OggS", b"FLV\x01"),
    *(b"#EXTM3U\n", b"ffconcat version 1.0\n"),
)
LENGTHS = (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\0\0\xff\xff")


def mutate(data: bytes, chance: random.Random) -> bytes:
    """One to three changes of the kinds that break readers: bits, lengths, cuts, repeats, new beginnings."""
    out = bytearray(data)
    for _ in range(chance.randint(1, 3)):
        size = len(out)
        place = chance.randrange(size) if chance.random() < 0.5 else chance.randrange(min(size, 512))
        match chance.randrange(7):
            case 0:
                for _ in range(chance.choice((1, 8, 64, 512))):
                    out[chance.randrange(size)] ^= 1 << chance.randrange(8)
            case 1:
                del out[place + 1 :]
            case 2:
                out[place : place + 4] = chance.choice(LENGTHS)
            case 3:
                out[place:place] = out[place : place + chance.randrange(1, 5000)]
            case 4:
                del out[place : place + chance.randrange(1, 5000)]
            case 5:
                out[place : place + 16] = chance.randbytes(16)
            case 6:
                begin = chance.choice(SIGNATURES)
                out[: len(begin)] = begin
        out = out or bytearray(b"\0")
    return bytes(out)


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
