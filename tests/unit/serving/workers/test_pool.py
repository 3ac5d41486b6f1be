"""The pool with a real processor: right prompts, and a refusal for everything that is wrong."""

import asyncio
import gc
import io
import json
import os
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from oryx.cli.main import main
from oryx.serving.errors import RequestError
from oryx.serving.workers.pool import EncodingPool
from oryx.serving.workers.samples import visual_keys


async def ready(pool: EncodingPool, seconds: float = 60.0) -> None:
    """Until all workers are there and nothing is at work."""
    async with asyncio.timeout(seconds):
        while pool.num_ready < pool.num_workers or pool.num_busy:
            await asyncio.sleep(0.02)


@pytest.fixture(autouse=True)
def nothing_is_left(run, pool):
    """Workers are at their posts, and no file or memory stays behind."""
    run(ready(pool))
    gc.collect()
    files = all_open_files(pool)
    yield
    run(ready(pool))
    gc.collect()
    until = time.monotonic() + 2  # a worker closes its reply a moment after it was sent
    while all_open_files(pool) != files and time.monotonic() < until:
        time.sleep(0.01)
    assert all_open_files(pool) == files
    assert pool.num_restarts == 0


def all_open_files(pool: EncodingPool) -> dict[int, list[str]]:
    """What the server and each worker have open."""
    return {pid: open_files(pid) for pid in [os.getpid(), *pids(pool)]}


def open_files(pid: int) -> list[str]:
    names = (os.readlink(file) for file in Path(f"/proc/{pid}/fd").iterdir() if file.is_symlink())
    return sorted(name for name in names if not name.startswith("/proc/"))


async def refusal(pool: EncodingPool, job: Any) -> RequestError:
    with pytest.raises(RequestError) as error:
        await pool.encode(job)
    return error.value


def pids(pool: EncodingPool) -> list[int]:
    return [worker.pid for worker in pool._workers]


def slow_gif(frames: int = 400) -> bytes:
    """A small file that takes long to decode: many frames of many pixels."""
    encoded = io.BytesIO()
    pictures = [Image.new("P", (3000, 3000), number % 2) for number in range(2)]
    pictures[0].save(encoded, "GIF", save_all=True, append_images=pictures[1:], duration=100)
    data = encoded.getvalue()
    second = data[data.index(b"\x21\xf9", data.index(b"\x2c", 13)) : -1]
    return data[:-1] + second * frames + b";"


def test_prompts_are_the_processors(pool, run, ask, processor, examples: Path, png: bytes):
    jobs = [
        ask({"type": "image", "image": png}),
        ask({"type": "video", "video": examples / "order.mp4"}, budget=300),
        ask({"type": "views", "views": examples / "room"}, dials={"compression": 16}),
        ask(),
    ]

    async def encode_all() -> list[Any]:
        return await asyncio.gather(*(pool.encode(job) for job in jobs * 4))

    prompts = run(encode_all())
    for job, prompt in zip(jobs * 4, prompts, strict=True):
        expected = processor.encode_messages(list(job.messages), budget=job.budget, **job.dials)
        assert np.array_equal(prompt.sample.ids, expected.ids)
        assert prompt.sample.spans == expected.spans
        assert prompt.num_visual_tokens == sum(stop - start for start, stop in expected.spans)
        if expected.patches is None:
            assert prompt.sample.patches is None
            assert prompt.keys == ()
        else:
            assert np.array_equal(prompt.sample.patches, expected.patches)
            assert prompt.sample.patches.flags.writeable
            assert prompt.keys == tuple(visual_keys(expected))
    assert prompts[0].keys == prompts[4].keys != prompts[1].keys


def test_workers_have_given_up_what_they_do_not_need(pool):
    for worker in pool._workers:
        status = dict(
            line.split(":\t", 1) for line in Path(f"/proc/{worker.pid}/status").read_text().splitlines()
        )
        assert status["NoNewPrivs"] == str(int(worker.is_confined))
        limits = Path(f"/proc/{worker.pid}/limits").read_text()
        assert re.search(r"Max core file size +0 +0 ", limits)
        assert re.search(r"Max data size +\d+ ", limits)
        names = Path(f"/proc/{worker.pid}/environ").read_text()
        assert "OMP_NUM_THREADS=1\0" in names
        assert "CUDA_VISIBLE_DEVICES=\0" in names


def test_plans_are_those_of_the_command_line(pool, run, ask, examples: Path, capsys):
    media, question = [examples / "scene.png", examples / "order.mp4"], "What is it?"
    content = [{"type": "image", "image": media[0]}, {"type": "video", "video": media[1]}]
    parts = [part for visual in content for part in (visual, {"type": "text", "text": "\n"})]
    for budget in (None, "150", "0.6GB"):
        arguments = ["plan", *map(str, media), "--question", question, "--json"]
        assert main([*arguments, *(["--budget", budget] if budget else [])]) == 0
        told = json.loads(capsys.readouterr().out)
        job = ask(*parts[:-1], question=question, budget=budget)
        assert run(pool.plan(job)) == told
        prompt = run(pool.encode(job))
        assert len(prompt) == told["prompt_tokens"]
        assert prompt.num_visual_tokens == told["total_tokens"]
    with pytest.raises(RequestError, match="is not a picture"):
        run(pool.plan(ask({"type": "image", "image": b"text"})))


def test_what_is_wrong_with_a_request_is_a_400(pool, run, ask, png: bytes, examples: Path, tmp_path: Path):
    picture = {"type": "image", "image": png}
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"
    m3u8 = b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"
    (tmp_path / "a.png").write_bytes(png)
    bomb = io.BytesIO()
    Image.new("1", (10_000, 10_000)).save(bomb, "PNG")
    for job, what in (
        (ask({"type": "image", "image": b"text"}), "is not a picture"),
        (ask({"type": "image", "image": png[:80]}), "truncated or broken"),
        (ask({"type": "image", "image": eps}), "is not a picture"),
        (ask({"type": "video", "video": m3u8}), "is not a video"),
        (ask({"type": "video", "video": png}), "still picture"),
        (ask({"type": "image", "image": bomb.getvalue()}), "at most 20,000,000 pixels"),
        (ask({**picture, "compression": 3}), "one of the ratios"),
        (ask({**picture, "sompression": 2}), "did you mean 'compression'"),
        (ask(picture, dials={"fps": "x"}, budget="nonsense"), "budget 'nonsense'"),
        (ask(picture, budget="1s"), "calibrate"),
        (ask({"type": "audio", "audio": png}), "type cannot be 'audio'"),
        (ask({"type": "image", "image": "/etc/passwd"}), "source of a visual"),
        (ask({"type": "image", "image": tmp_path / "a.png"}), "media root"),
        (ask({"type": "image", "image": examples / "none.png"}), "does not exist"),
        (ask({"type": "video", "video": examples / "README.md"}), "'README.md' is not a video"),
        (ask(question="word " * 9000), "reads at most"),
    ):
        error = run(refusal(pool, job))
        assert (error.status, error.type) == (400, "invalid_request_error")
        assert what in str(error)
        assert str(examples) not in str(error)


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image", "image": b"", "marks": 5},
        {"type": ["image"], "image": b"a"},
        {"type": None},
        {"type": "video", "video": [], "fps": True},
        {"type": "video", "video": b"a", "focus": {"a": 1}},
        {"type": "image", "image": b"a", "compression": {"a": [1]}},
        {"type": "views", "views": b"a"},
        {"type": "image", "image": b"a", "detail": ["low"], "max_pixels": 10**400},
        {1: 2},
    ],
)
def test_odd_parts_are_refused(part: Any, pool, run, ask):
    error = run(refusal(pool, ask(part)))
    assert error.status in (400, 422)
    assert "Traceback" not in str(error)


def test_a_decoder_that_takes_too_long_is_told_and_its_worker_goes_on(pool, run, ask, png: bytes):
    before, gif = pids(pool), slow_gif()
    assert len(gif) < 10**7
    began = time.monotonic()
    error = run(refusal(pool, ask({"type": "video", "video": gif, "max_frames": 50})))
    assert (error.status, error.code) == (422, "decoding_too_slow")
    assert time.monotonic() - began < 1.5 + 2
    assert run(pool.encode(ask({"type": "image", "image": png})))
    assert pids(pool) == before


def test_too_much_memory_is_a_413_and_its_worker_goes_on(pool, run, ask, png: bytes):
    """19 million pixels are allowed; in RGBA, laid over white, they do not fit into 192 MiB."""
    large = io.BytesIO()
    Image.new("RGBA", (19_000, 1000), (10, 20, 30, 40)).save(large, "PNG")
    before = pids(pool)
    for _ in range(3):
        error = run(refusal(pool, ask({"type": "image", "image": large.getvalue()})))
        assert (error.status, error.code) == (413, "media_too_large")
    assert run(pool.encode(ask({"type": "image", "image": png})))
    assert pids(pool) == before
