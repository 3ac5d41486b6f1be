"""`oryx serve`: tokens a second of 16 clients at a time against one, for each engine that is installed.

    python benchmarks/serving.py [--engine transformers] [--engine vllm]

Every request asks about one small picture and is answered with 64 tokens (`ignore_eos`), over HTTP by the
official client. The two cases take turns; the servers run one after the other.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai
from common import ROOT, Report, parser

from oryx.serving.http.wiring import engine_name

NUM_TOKENS = 64
START_SECONDS = 600


@contextmanager
def serve(engine: str, model: str, width: int) -> Iterator[str]:
    """The address of a server that runs for as long as the block."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--engine", engine, "--model", model, "--port", str(port), "--max-requests", str(width)]
    command = [sys.executable, "-m", "oryx", "serve", *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _await_health(process, f"http://127.0.0.1:{port}/health")
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait()


def _await_health(process: subprocess.Popen, address: str) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError("the server did not start; `oryx serve` says why.")


async def tokens_per_second(url: str, picture: str, number: int, width: int) -> float:
    """So many requests, `width` at a time."""
    serials = iter(range(number))
    image = {"type": "image_url", "image_url": {"url": picture}}

    async def ask(client: openai.AsyncOpenAI) -> None:
        for serial in serials:
            text = {"type": "text", "text": f"Where is the red circle? Answer number {serial}."}
            answer = await client.chat.completions.create(
                model="nano",
                messages=[{"role": "user", "content": [image, text]}],  # type: ignore[arg-type,misc,list-item]
                max_tokens=NUM_TOKENS,
                extra_body={"ignore_eos": True},
            )
            assert answer.usage is not None
            assert answer.usage.completion_tokens == NUM_TOKENS

    async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:
        await client.models.list()
        began = time.perf_counter()
        await asyncio.gather(*(ask(client) for _ in range(width)))
        return number * NUM_TOKENS / (time.perf_counter() - began)


def measure(report: Report, engine: str, options: Any) -> None:
    content = base64.b64encode(options.picture.read_bytes()).decode()
    picture = f"data:image/{options.picture.suffix[1:]};base64,{content}"
    rates: dict[int, list[float]] = {1: [], options.width: []}
    with serve(engine, options.model, options.width) as url:
        for turn, width in itertools.product(range(1 + options.repeats), rates):
            number = 4 if width == 1 else 4 * width
            rate = asyncio.run(tokens_per_second(url, picture, number, width))
            if turn:  # the first warms up
                rates[width].append(rate)
    for width, values in rates.items():
        report.add(f"{engine}, {width} at a time", statistics.median(values), "tokens/s")
    many, alone = rates[options.width], rates[1]
    ratio = statistics.median(a / b for a, b in zip(many, alone, strict=True))
    least = 4 if engine == "vllm" else 2
    report.add(f"{engine}: {options.width} against 1", ratio, "x", f"at least {least}")


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--engine", action="append", help="vllm or transformers; both where installed")
    arguments.add_argument("--model", default="nano")
    arguments.add_argument("--picture", type=Path, default=ROOT / "examples/scene.png")
    arguments.add_argument("--width", type=int, default=16, help="requests at a time")
    options = arguments.parse_args()
    report = Report("serving")
    for engine in options.engine or dict.fromkeys(("transformers", engine_name("auto"))):
        measure(report, engine, options)
    report.finish(options.output)


if __name__ == "__main__":
    main()
