"""Visuals of prompts to embeddings, in a thread of its own while the language model goes on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from oryx.errors import AlignmentError
from oryx.model.modeling import OryxForConditionalGeneration
from oryx.model.visual_encoder import view_chunks
from oryx.processing.collate import EncodedSample
from oryx.processing.memory import CHUNK_PATCHES
from oryx.serving.engine import EngineStopped, Prompt
from oryx.serving.engines.visual_ids import VisualIds


class Abandoned(Exception):  # noqa: N818 not a mistake
    """Nobody waits for these embeddings any more."""


class EncoderThread:
    """Gives prompts the ids of their visuals, each encoded once however many ask about it."""

    def __init__(self, model: OryxForConditionalGeneration, visuals: VisualIds) -> None:
        self._model = model
        self._visuals = visuals
        self._thread = ThreadPoolExecutor(1, "oryx-encoder")
        self._closed = threading.Event()

    async def pin(self, prompt: Prompt) -> list[range]:
        """Ids of each visual. They stay until `unpin`.

        Raises:
            IdsExhausted: there are not enough; then, as after any error, none is pinned.
            AlignmentError: a visual has more or fewer embeddings than positions.
            EngineStopped: `close` was called.
        """
        found = self._pin_known(prompt)
        if found is not None:
            return found
        abandoned = threading.Event()

        def is_abandoned() -> bool:
            return abandoned.is_set() or self._closed.is_set()

        try:
            job = self._thread.submit(pin_visuals, self._model, prompt, self._visuals, is_abandoned)
        except RuntimeError:  # the thread takes no more
            if not self._closed.is_set():
                raise
            raise EngineStopped("the engine was stopped.") from None
        try:
            return await asyncio.wrap_future(job)
        except Abandoned:
            raise EngineStopped("the engine was stopped.") from None
        except asyncio.CancelledError:
            abandoned.set()
            job.add_done_callback(lambda done: self._unpin_late(prompt, done))
            raise

    def unpin(self, prompt: Prompt) -> None:
        for key in prompt.keys:
            self._visuals.unpin(key)

    def forget(self) -> None:
        """Drop all visuals. No request may run, but abandoned ones may still be on their way out. Blocks."""
        self._thread.submit(self._visuals.clear).result()

    def close(self) -> None:
        """End the thread, after the chunk that it works on. Blocks."""
        self._closed.set()
        self._thread.shutdown()

    def _pin_known(self, prompt: Prompt) -> list[range] | None:
        """Ids of all visuals if they are all there, without waiting for the thread."""
        found: list[range] = []
        for key in prompt.keys:
            ids = self._visuals.pin(key)
            if ids is None:
                for pinned in prompt.keys[: len(found)]:
                    self._visuals.unpin(pinned)
                return None
            found.append(ids)
        return found

    def _unpin_late(self, prompt: Prompt, done: Future[list[range]]) -> None:
        """The job was done before it heard that nobody waits."""
        try:
            done.result()
        except (Exception, CancelledError):
            return
        self.unpin(prompt)


def pin_visuals(
    model: OryxForConditionalGeneration,
    prompt: Prompt,
    visuals: VisualIds,
    is_abandoned: Callable[[], bool] = lambda: False,
) -> list[range]:
    """Ids of each visual of a prompt, all pinned; those that are not there yet are encoded.

    Raises:
        IdsExhausted, Abandoned, AlignmentError: then none is pinned.
    """
    pinned: list[range] = []
    try:
        for number, key in enumerate(prompt.keys):
            ids = visuals.pin(key)
            if ids is None:
                ids = visuals.add(key, encode_visual(model, prompt.sample, number, is_abandoned))
            pinned.append(ids)
    except BaseException:
        for key in prompt.keys[: len(pinned)]:
            visuals.unpin(key)
        raise
    return pinned


@torch.inference_mode()
def encode_visual(
    model: OryxForConditionalGeneration,
    sample: EncodedSample,
    number: int,
    is_abandoned: Callable[[], bool] = lambda: False,
) -> Tensor:
    """Embeddings (positions, E) of visual `number`, marks included.

    Raises:
        Abandoned: `is_abandoned`, which is asked before each chunk.
        AlignmentError: the sample holds no patches.
    """
    if sample.patches is None:
        raise AlignmentError("the prompt holds no patches of its visuals.")
    first = int(sample.visual_lengths[:number].sum())
    views = slice(first, first + int(sample.visual_lengths[number]))
    grids, ratios = torch.from_numpy(sample.grids[views]), torch.from_numpy(sample.compressions[views])
    row = int(sample.grids[:first].prod(1).sum())
    tokens = []
    for start, stop, num_patches in view_chunks(grids, CHUNK_PATCHES):
        if is_abandoned():
            raise Abandoned
        patches = torch.from_numpy(sample.patches[row : row + num_patches])
        tokens.append(model.encode_views(patches, grids[start:stop], ratios[start:stop]))
        row += num_patches
    visual = slice(number, number + 1)
    embeds, _ = model.arrange_visuals(
        torch.cat(tokens),
        grids,
        ratios,
        torch.from_numpy(sample.visual_lengths[visual]),
        torch.from_numpy(sample.visual_kinds[visual]),
    )
    if embeds.device.type != "cpu":  # another stream will read them
        torch.accelerator.synchronize(embeds.device)
    return embeds


def with_visual_ids(prompt: Prompt, visual_ids: list[range], vocab_size: int, placeholder: int) -> list[int]:
    """The prompt's ids, with those of its visuals at their positions.

    Raises:
        AlignmentError: a visual has more or fewer positions than ids, or there are visual positions of none.
    """
    ids = prompt.sample.ids.copy()
    is_text = np.ones(len(ids), dtype=bool)
    for number, ((start, stop), run) in enumerate(zip(prompt.sample.spans, visual_ids, strict=True)):
        if stop - start != len(run):
            raise AlignmentError(
                f"visual {number} has {stop - start} positions in the prompt, but {len(run)} embeddings."
            )
        ids[start:stop] = run
        is_text[start:stop] = False
    text = ids[is_text]
    num_strange = int(((text < 0) | (text >= vocab_size) | (text == placeholder)).sum())
    if num_strange:
        raise AlignmentError(f"the prompt has {num_strange} positions that are neither text nor a visual's.")
    return ids.tolist()
