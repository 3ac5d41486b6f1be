"""From a checked request to the pieces of its answer: a place, a prompt, the engine."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol, cast

from oryx.errors import ConfigError
from oryx.processing.context import advice, check_context
from oryx.serving.encoding import EncodingJob
from oryx.serving.engine import Engine, EngineStopped, Piece, Prompt, Sampling
from oryx.serving.errors import RequestError
from oryx.serving.http.admission import Admission
from oryx.serving.http.chat_request import ChatRequest
from oryx.serving.http.conversation import Loader, fetch_media, with_name
from oryx.serving.http.lifecycle import Lifecycle
from oryx.serving.http.metrics import Metrics
from oryx.serving.http.record import Record
from oryx.serving.http.settings import Limits

_DEFAULTS = Sampling()


class Pool(Protocol):
    """Encodes requests in other processes."""

    async def start(self) -> None:
        """Start the workers, or raise `OryxError`."""

    async def stop(self) -> None:
        """End them."""

    async def encode(self, job: EncodingJob) -> Prompt:
        """The prompt of a job. Raises OryxError for what is wrong with it."""


@dataclass(frozen=True)
class Parts:
    """What the server is put together from."""

    engine: Engine
    pool: Pool
    loader: Loader
    model_name: str
    """What clients call the model."""


class Service:
    """Answers checked requests, so many at a time."""

    def __init__(self, parts: Parts, limits: Limits, lifecycle: Lifecycle, metrics: Metrics) -> None:
        self.parts = parts
        self.limits = limits
        self.lifecycle = lifecycle
        self.metrics = metrics
        self.admission = Admission(limits.max_places, limits.max_queue, limits.queue_seconds)
        metrics.watch(
            "requests_running", "Requests encoded or answered now.", lambda: self.admission.num_running
        )
        metrics.watch(
            "requests_queued", "Requests that wait for a place.", lambda: self.admission.num_waiting
        )

    def check_model(self, name: str | None) -> None:
        """Raises RequestError (404) for a model that is not served here; None is the one that is."""
        if name not in (None, self.parts.model_name):
            raise RequestError(
                f"the model {str(name)[:80]!r} is not here; {self.parts.model_name!r} is served.",
                status=404,
                code="model_not_found",
                param="model",
            )

    @asynccontextmanager
    async def answer(
        self, body: ChatRequest, job: EncodingJob, record: Record
    ) -> AsyncIterator[AsyncIterator[Piece]]:
        """The pieces of an answer, for as long as the block lasts; it may be left in any way.

        Args:
            job: of `lay_out`, with media that are still to be fetched.

        Raises:
            RequestError, OryxError: the request cannot be answered, or not now.
        """
        try:
            async with self.admission.place():
                prompt = await self._prompt(job, record)
                sampling = self._sampling(body, len(prompt), prompt.num_visual_tokens > 0)
                pieces = self.parts.engine.generate(prompt, sampling, record.id)
                del prompt  # the engine lets go of its patches before the answer ends
                # The contract of `Engine.generate`: the iterator can be closed.
                async with aclosing(cast(Any, pieces)), aclosing(self._counted(pieces, record)) as counted:
                    yield counted
        except EngineStopped:
            self.lifecycle.die()
            raise

    async def _prompt(self, job: EncodingJob, record: Record) -> Prompt:
        fetched = await fetch_media(job, self.parts.loader)
        began = time.perf_counter()
        try:
            prompt = await self.parts.pool.encode(fetched)
        except RequestError as error:
            raise with_name(error, job) from None
        self.metrics.encode_seconds.observe(time.perf_counter() - began)
        record.prompt_tokens, record.visual_tokens = len(prompt), prompt.num_visual_tokens
        return prompt

    def _sampling(self, body: ChatRequest, num_prompt: int, has_visuals: bool) -> Sampling:
        """How the answer is chosen. What a request leaves out is greedy, and as long as there is room."""
        limits, room = self.limits, self.parts.engine.max_positions - num_prompt
        if limits.max_prompt_tokens is not None and num_prompt > limits.max_prompt_tokens:
            raise RequestError(
                f"the prompt has {num_prompt:,} tokens; this server takes at most "
                f"{limits.max_prompt_tokens:,}: {advice(has_visuals, answer='')}.",
                code="context_length_exceeded",
                param="messages",
            )
        asked, name = body.max_completion_tokens, "max_completion_tokens"
        if asked is None:
            asked, name = body.max_tokens, "max_tokens"
        most = limits.max_output_tokens
        if asked is not None and most is not None and asked > most:
            raise RequestError(f"{name} is {asked:,}; this server allows at most {most:,}.", param=name)
        if asked is None:
            asked = max(1, min(_DEFAULTS.max_tokens, most or _DEFAULTS.max_tokens, room))
        what_to_do = advice(has_visuals, name if room > 0 else "")
        try:
            check_context(num_prompt, asked, self.parts.engine.max_positions, what_to_do)
        except ConfigError as error:
            raise RequestError(str(error), code="context_length_exceeded", param="messages") from None
        return Sampling(
            max_tokens=asked,
            temperature=_given(body.temperature, _DEFAULTS.temperature),
            top_p=_given(body.top_p, _DEFAULTS.top_p),
            top_k=max(0, _given(body.top_k, _DEFAULTS.top_k)),  # vLLM's clients say -1 for all
            repetition_penalty=_given(body.repetition_penalty, _DEFAULTS.repetition_penalty),
            stop=tuple(body.stop or ()),
            seed=body.seed,
            ignore_eos=bool(body.ignore_eos),
        )

    async def _counted(self, pieces: AsyncIterator[Piece], record: Record) -> AsyncGenerator[Piece, None]:
        is_first = True
        async for piece in pieces:
            if is_first:
                self.metrics.first_token.observe(record.seconds)
                is_first = False
            record.generated_tokens += piece.num_tokens
            yield piece


def _given(value: Any, default: Any) -> Any:
    return default if value is None else value
