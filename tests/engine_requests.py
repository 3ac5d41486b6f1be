"""Prompts for the transformers engine, and what it takes to ask it."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import torch

from oryx.processing.collate import EncodedSample, pad_batch
from oryx.serving.engine import Prompt, Sampling
from oryx.serving.engines.transformers import TransformersEngine

_numbers = itertools.count()


def as_prompt(sample: EncodedSample) -> Prompt:
    """With a key for each visual that says what is in it."""
    keys = []
    views = patches = 0
    for number, num_views in enumerate(sample.visual_lengths.tolist()):
        own = slice(views, views + num_views)
        num_patches = int(sample.grids[own].prod(1).sum())
        content = (
            sample.patches[patches : patches + num_patches],
            sample.grids[own],
            sample.compressions[own],
            sample.visual_kinds[number : number + 1],
        )
        keys.append(hashlib.blake2b(b"".join(part.tobytes() for part in content)).hexdigest())
        views, patches = views + num_views, patches + num_patches
    return Prompt(sample, tuple(keys), sum(stop - start for start, stop in sample.spans))


async def ask(engine: Any, prompt: Prompt, sampling: Sampling) -> tuple[str, int, str]:
    """(text, tokens, finish reason) of the whole answer."""
    pieces = [piece async for piece in engine.generate(prompt, sampling, f"request-{next(_numbers)}")]
    assert all(piece.finish_reason is None for piece in pieces[:-1])
    reason = pieces[-1].finish_reason
    assert reason is not None
    return "".join(piece.text for piece in pieces), sum(piece.num_tokens for piece in pieces), reason


@asynccontextmanager
async def running(**settings: Any):
    """A started engine in float32 on the CPU, which is stopped again."""
    engine = TransformersEngine(**{"dtype": "float32", "device": "cpu", **settings})
    await engine.start()
    try:
        yield engine
    finally:
        await engine.stop()


def in_engine(use: Callable[[Any], Coroutine[Any, Any, Any]], **settings: Any) -> Any:
    """What `use` returns, given an engine."""

    async def run() -> Any:
        async with running(**settings) as engine:
            return await asyncio.wait_for(use(engine), 60)

    return asyncio.run(run())


def generated(
    model: Any, processor: Any, prompt: Prompt, max_tokens: int, **settings: Any
) -> tuple[str, int]:
    """(text, tokens) of `generate`."""
    batch = pad_batch([prompt.sample], 0)
    batch.pop("labels", None)
    with torch.no_grad():
        ids = model.generate(**batch, max_new_tokens=max_tokens, **{"do_sample": False, **settings})
    new = ids[0, len(prompt) :]
    return processor.tokenizer.decode(new, skip_special_tokens=True), len(new)


def encode(processor: Any, question: str, *visuals: dict) -> Prompt:
    """A question with `<image>` for each visual -> prompt."""
    turns = [{"from": "human", "value": question}, {"from": "gpt", "value": None}]
    return as_prompt(processor.encode_sample(turns, visuals, supervise=None))
