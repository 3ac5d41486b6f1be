"""The engine over transformers' own continuous batching: CPU and GPU, whatever language model it batches."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from oryx.engine.cache import DEFAULT_BYTES
from oryx.errors import ConfigError
from oryx.loading import load
from oryx.processing.context import advice, check_context, context_limit
from oryx.serving.engine import EngineStopped, Piece, Prompt, Sampling, check_sampling
from oryx.serving.engines.answer_text import AnswerText
from oryx.serving.engines.batcher import Batcher
from oryx.serving.engines.manager import MANAGER_LOG, PAGE_SIZE
from oryx.serving.engines.room import Room, Share
from oryx.serving.engines.visual_encoding import EncoderThread, with_visual_ids
from oryx.serving.engines.visual_ids import LAST_ID, IdsExhausted, VisualIds

POSITIONS_PER_REQUEST = 2048
"""For which the key-value cache has room by default, when all requests run."""
MAX_BATCH_TOKENS = 512
"""Positions of one step: enough for large products, few enough that answers go on while prompts are read."""


@dataclass
class _Running:
    """What a running engine is made of."""

    batcher: Batcher
    encoder: EncoderThread
    visuals: VisualIds
    room: Room
    tokenizer: Any
    end_ids: Sequence[int]
    placeholder: int
    renewal: asyncio.Task[None] | None = None
    num_renewals: int = 0


class TransformersEngine:
    """Many requests at a time on one device. `oryx.serving.engine.Engine` says how to use it.

        engine = TransformersEngine("nano")
        await engine.start()
        async for piece in engine.generate(prompt, Sampling(), "1"):
            print(piece.text, end="")
        await engine.stop()

    Answers follow `Sampling` and the checkpoint's end tokens; what else its generation config says, such as a
    temperature, is up to whoever makes the `Sampling`. Visuals are encoded in a thread of their own while
    answers go on.

    Args:
        model, dtype, device: as in `oryx.load`.
        max_requests: that run at a time; more wait for their turn.
        cache_tokens: positions for which there are keys and values, of all running requests together. By
            default the longest request that the model reads, or 2,048 for each request if that is more.
        max_batch_tokens: positions of one step.
        visual_bytes: of embeddings of visuals that are kept for requests to come, on the device.
        last_visual_id: visuals get ids up to here; then running requests end, and the caches start over.
        load_options: more arguments of `oryx.load`.
    """

    name = "transformers"

    def __init__(
        self,
        model: str = "nano",
        dtype: str = "auto",
        device: str = "auto",
        max_requests: int = 16,
        cache_tokens: int | None = None,
        max_batch_tokens: int = MAX_BATCH_TOKENS,
        visual_bytes: int = DEFAULT_BYTES,
        last_visual_id: int = LAST_ID,
        **load_options: Any,
    ) -> None:
        for name, value, least in (
            ("max_requests", max_requests, 1),
            ("cache_tokens", cache_tokens, PAGE_SIZE),
            ("max_batch_tokens", max_batch_tokens, 1),
            ("visual_bytes", visual_bytes, 0),
        ):
            if value is not None and value < least:
                raise ConfigError(f"{name} is {value}; at least {least} is needed.")
        self.max_positions = 0
        """Of a prompt and its answer together; known once the model is loaded."""
        self._model_name = model
        self._load_options = {"dtype": dtype, "device": device, **load_options}
        self._max_requests = max_requests
        self._cache_tokens = cache_tokens
        self._max_batch_tokens = max(max_batch_tokens, max_requests)
        self._visual_bytes = visual_bytes
        self._last_visual_id = last_visual_id
        self._running: _Running | None = None
        self._is_ready = False
        self._stopped: str | None = None
        """Why no request is taken any more."""

    @property
    def is_running(self) -> bool:
        """See `Engine.is_running`."""
        return self._running is not None and self._is_ready and not self._stopped

    @property
    def num_unfinished(self) -> int:
        """Requests that run or wait."""
        return 0 if self._running is None else self._running.room.num_wanted

    # -- life --------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Load the model, and run it once.

        Raises:
            ConfigError: a setting of `oryx.load`, a language model that cannot be batched, or a key-value
                cache that there is no memory for.
            CheckpointError: the model cannot be loaded.
        """
        if self._running is not None:
            raise ConfigError("the engine is running already.")
        model, processor = await asyncio.to_thread(load, self._model_name, **self._load_options)
        limit = context_limit(model.config.text_config)
        cache_tokens = self._cache_tokens or max(limit or 0, POSITIONS_PER_REQUEST * self._max_requests)
        self.max_positions = min(limit or cache_tokens, cache_tokens)
        num_pages = _num_pages(cache_tokens)
        vocab_size: int = model.get_input_embeddings().num_embeddings  # type: ignore[assignment]
        visuals = VisualIds(vocab_size, self._visual_bytes, self._last_visual_id)
        batcher = Batcher(
            model,
            visuals,
            processor.image_token_id,
            num_pages,
            self._max_requests,
            self._max_batch_tokens,
            asyncio.get_running_loop(),
            ended=lambda error: self._end(f"the engine has died ({error})."),
        )
        ends = model.generation_config.eos_token_id
        self._running = _Running(
            batcher,
            EncoderThread(model, visuals),
            visuals,
            Room(self._max_requests, num_pages),
            processor.tokenizer,
            ends if isinstance(ends, list) else [] if ends is None else [ends],
            processor.image_token_id,
        )
        self._stopped = None
        try:
            await asyncio.to_thread(batcher.start)
            await _try_out(batcher, type(model.language_model).__name__)
            self._is_ready = True
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Let go of everything; requests that still run end in `EngineStopped`."""
        self._end("the engine was stopped.")
        self._is_ready = False
        running, self._running = self._running, None
        if running is None:
            return
        if running.renewal is not None:
            await asyncio.wait([running.renewal])
        await asyncio.to_thread(running.encoder.close)
        await asyncio.to_thread(running.batcher.stop)

    def _end(self, reason: str) -> None:
        if self._stopped is None and self._running is not None:
            self._stopped = reason
            self._running.room.close(reason)
            self._running.batcher.fail_all(reason)

    # -- requests ----------------------------------------------------------------------------------

    async def generate(self, prompt: Prompt, sampling: Sampling, request_id: str) -> AsyncIterator[Piece]:
        """The answer, piece by piece; see `Engine.generate`.

        Raises:
            EngineStopped: the engine is not running, or has died.
            ConfigError: prompt and answer are longer than `max_positions`, or a setting out of range.
            AlignmentError: the visuals do not fill the prompt's visual positions.
        """
        check_sampling(sampling)
        running = self._check_running()
        what_to_do = advice(prompt.num_visual_tokens > 0, "max_tokens")
        check_context(len(prompt), sampling.max_tokens, self.max_positions, what_to_do)
        share = Share(1, _num_pages(len(prompt) + sampling.max_tokens))
        visual_ids = await self._enter(running, prompt, share)
        answer = None
        try:
            if self._check_running() is not running:  # it took a while
                raise EngineStopped("the engine was stopped.")
            ids = with_visual_ids(prompt, visual_ids, running.visuals.first_id, running.placeholder)
            end_ids = () if sampling.ignore_eos else running.end_ids
            answer = running.batcher.submit(ids, sampling, end_ids, request_id)
            text = AnswerText(running.tokenizer, sampling, running.end_ids)
            while not text.is_finished:
                piece = text.put(await answer.more(), answer.is_finished)
                if piece is not None:
                    yield piece
        finally:
            if answer is not None:
                running.batcher.release(answer)
            running.encoder.unpin(prompt)
            running.room.give(share)

    def _check_running(self) -> _Running:
        if not self.is_running or self._running is None:
            raise EngineStopped(self._stopped or "the engine is not running.")
        return self._running

    async def _enter(self, running: _Running, prompt: Prompt, share: Share) -> list[range]:
        """Wait for room, and see to it that the visuals are there. Returns their ids."""
        while True:
            await running.room.take(share)
            num_renewals = running.num_renewals
            try:
                return await running.encoder.pin(prompt)
            except BaseException as error:
                running.room.give(share)
                if not isinstance(error, IdsExhausted):
                    raise
            num_needed = sum(stop - start for start, stop in prompt.sample.spans)
            if num_needed > running.visuals.num_ids:
                raise ConfigError(
                    f"the prompt has {num_needed:,} visual tokens, and the engine has ids for at most "
                    f"{running.visuals.num_ids:,}: {advice(True, answer='')}."
                )
            if running.num_renewals == num_renewals:
                if running.renewal is None or running.renewal.done():
                    running.renewal = asyncio.create_task(self._renew(running))
                await asyncio.shield(running.renewal)

    async def _renew(self, running: _Running) -> None:
        """Start over with empty caches, once running requests have ended: ids may then name other visuals."""
        try:
            await running.room.take(running.room.whole)
        except EngineStopped:
            return  # those who wait for this will be told
        try:
            await asyncio.to_thread(running.batcher.stop)
            await asyncio.to_thread(running.encoder.forget)
            await asyncio.to_thread(running.batcher.start)
            running.num_renewals += 1
        except Exception as error:
            self._end(f"the engine has died ({error}).")
        finally:
            running.room.give(running.room.whole)


async def _try_out(batcher: Batcher, name: str) -> None:
    """Run one token: a language model that cannot do that should not wait for the first request.

    Raises:
        ConfigError: it cannot.
    """
    log = logging.getLogger(MANAGER_LOG)
    level = log.level
    log.setLevel(logging.CRITICAL)  # what goes wrong here is told in a sentence
    answer = batcher.submit([0], Sampling(max_tokens=1), ())
    try:
        await answer.more()
    except EngineStopped as error:
        raise ConfigError(f"{name} cannot be run by the transformers engine: {error}") from None
    finally:
        batcher.release(answer)
        log.setLevel(level)


def _num_pages(positions: int) -> int:
    return -(-positions // PAGE_SIZE)
