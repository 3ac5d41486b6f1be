"""The transformers engine: tokens a second of 16 requests at a time against one, and what its parts gain.

    python benchmarks/serving_transformers.py

Every request asks about one small picture and is answered with 64 tokens (`ignore_eos`). "The same picture"
shares what the prompts begin with; "a picture each" encodes for every request one that was never seen.
Compared engines take turns: ours, one that stops its steps while it encodes, and one with the library's
attention.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from common import ROOT, Report, parser
from PIL import Image
from transformers.generation.continuous_batching.continuous_api import ContinuousBatchingManager

from oryx.loading import load_processor, resolve_folder
from oryx.serving.engine import Prompt, Sampling
from oryx.serving.engines import visual_encoding
from oryx.serving.engines.manager import Manager
from oryx.serving.engines.transformers import TransformersEngine

NUM_TOKENS = 64
SAMPLING = Sampling(max_tokens=NUM_TOKENS, ignore_eos=True)
QUESTION = "<image>\nWhere is the red circle? Answer number {}."


class Prompts:
    """Questions about a picture, or about as many that differ in one pixel."""

    def __init__(self, model: str, picture: Path) -> None:
        self._processor = load_processor(resolve_folder(model))
        self._picture = Image.open(picture).convert("RGB")
        self._numbers = itertools.count()

    def make(self, number: int, is_new: bool) -> list[Prompt]:
        """So many prompts with questions of their own."""
        return [self._one(is_new) for _ in range(number)]

    def _one(self, is_new: bool) -> Prompt:
        serial = next(self._numbers)
        picture = self._picture
        if is_new:
            pixels = np.array(picture)
            pixels[0, 0] = (serial % 256, serial // 256 % 256, serial // 65536)
            picture = Image.fromarray(pixels)
        turns = [{"from": "human", "value": QUESTION.format(serial)}, {"from": "gpt", "value": None}]
        sample = self._processor.encode_sample(turns, [{"type": "image", "image": picture}])
        ((start, stop),) = sample.spans
        return Prompt(sample, (f"{serial if is_new else 'same'}",), stop - start)


async def tokens_per_second(engine: TransformersEngine, prompts: Sequence[Prompt], width: int) -> float:
    """All prompts, `width` at a time."""
    waiting = iter(enumerate(prompts))

    async def client() -> None:
        for number, prompt in waiting:
            async for _ in engine.generate(prompt, SAMPLING, str(number)):
                pass

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(width)))
    return len(prompts) * NUM_TOKENS / (time.perf_counter() - began)


@contextmanager
def as_it_is(engine: TransformersEngine) -> Any:
    yield


@contextmanager
def encoding_between_steps(engine: TransformersEngine) -> Any:
    """No answer goes on while a visual is encoded."""
    encode_visual = visual_encoding.encode_visual
    manager: Any = engine._running.batcher._manager  # type: ignore[union-attr]

    def encode(*arguments: Any) -> Any:
        with manager.pause():
            return encode_visual(*arguments)

    visual_encoding.encode_visual = encode
    try:
        yield
    finally:
        visual_encoding.encode_visual = encode_visual


async def start(model: str, width: int, own_attention: bool = True) -> TransformersEngine:
    engine = TransformersEngine(model, max_requests=width)
    own = Manager.switch_to_cb_friendly_attn
    if not own_attention:
        Manager.switch_to_cb_friendly_attn = ContinuousBatchingManager.switch_to_cb_friendly_attn  # type: ignore
    try:
        await engine.start()
    finally:
        Manager.switch_to_cb_friendly_attn = own  # type: ignore[method-assign]
    return engine


async def measure(options: Any) -> Report:
    report = Report("serving_transformers")
    prompts = Prompts(options.model, options.picture)
    ours = await start(options.model, options.width)
    theirs = await start(options.model, options.width, own_attention=False)
    engines: dict[str, tuple[TransformersEngine, Callable[[TransformersEngine], Any]]] = {
        "": (ours, as_it_is),
        ", encoding between steps": (ours, encoding_between_steps),
        ", the library's attention": (theirs, as_it_is),
    }
    rates: dict[str, list[float]] = {}
    for turn, (kind, (name, (engine, way))) in itertools.product(
        range(1 + options.repeats), itertools.product(("the same picture", "a picture each"), engines.items())
    ):
        is_new = kind == "a picture each"
        with way(engine):
            for width in (1, options.width):
                made = prompts.make(4 if width == 1 else 2 * width, is_new)
                rate = await tokens_per_second(engine, made, width)
                if turn:  # the first warms up
                    rates.setdefault(f"{kind}, {width} at a time{name}", []).append(rate)
    await ours.stop()
    await theirs.stop()
    for figure, values in rates.items():
        report.add(figure, statistics.median(values), "tokens/s")
    for kind in ("the same picture", "a picture each"):
        many = rates[f"{kind}, {options.width} at a time"]
        alone = rates[f"{kind}, 1 at a time"]
        report.add(f"{kind}: {options.width} against 1", ratio(many, alone), "x", "at least 2")
        for name in list(engines)[1:]:
            other = rates[f"{kind}, {options.width} at a time{name}"]
            report.add(f"{kind}: ours against {name[2:]}", ratio(many, other), "x")
    return report


def ratio(of: Sequence[float], to: Sequence[float]) -> float:
    return statistics.median(a / b for a, b in zip(of, to, strict=True))


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--model", default="nano")
    arguments.add_argument("--picture", type=Path, default=ROOT / "examples/scene.png")
    arguments.add_argument("--width", type=int, default=16, help="requests at a time")
    options = arguments.parse_args()
    asyncio.run(measure(options)).finish(options.output)


if __name__ == "__main__":
    main()
