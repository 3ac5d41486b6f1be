"""Requests as ids into the manager, and their answers out of its thread."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.util import find_spec
from typing import Any

import torch
from transformers.generation.continuous_batching.requests import GenerationOutput

from oryx.errors import ConfigError
from oryx.model.modeling import OryxForConditionalGeneration
from oryx.serving.engine import EngineStopped, Sampling
from oryx.serving.engines.manager import PAGE_SIZE, Decoder, Manager, check_batchable
from oryx.serving.engines.token_choice import TokenChoice
from oryx.serving.engines.visual_ids import VisualIds

NO_ID = -1
"""An end token that is never generated."""


class Answer:
    """What has been generated for one request."""

    def __init__(self, request_id: str) -> None:
        self.request_id = request_id
        self.is_finished = False
        self._ids: list[int] = []
        self._num_taken = 0
        self._error: str | None = None
        self._changed = asyncio.Event()

    async def more(self) -> list[int]:
        """Ids generated since the last call, at least one. `is_finished` tells whether they are the last.

        Raises:
            EngineStopped: none will come any more.
        """
        await self._changed.wait()
        self._changed.clear()
        if self._error:
            raise EngineStopped(self._error)
        new = self._ids[self._num_taken :]
        self._num_taken = len(self._ids)
        return new

    def extend(self, ids: list[int], is_finished: bool) -> None:
        """`ids` are all so far."""
        self._ids, self.is_finished = ids, is_finished
        self._changed.set()

    def fail(self, error: str) -> None:
        """Unless it is finished, and only has to be taken."""
        if not self.is_finished:
            self._error = self._error or error
        self._changed.set()


class Batcher:
    """The manager, driven from one event loop. `start` and `stop` block, and are for threads.

    Args:
        visuals: what ids beyond the vocabulary stand for.
        placeholder: what a visual's positions have for an id outside of the engine.
        ended: called in the loop when the manager has ended by itself.
    """

    def __init__(
        self,
        model: OryxForConditionalGeneration,
        visuals: VisualIds,
        placeholder: int,
        num_pages: int,
        max_requests: int,
        max_batch_tokens: int,
        loop: asyncio.AbstractEventLoop,
        ended: Callable[[str], None],
    ) -> None:
        check_batchable(model.language_model)
        if model.device.type == "cpu" and not find_spec("psutil"):
            raise ConfigError("serving on a CPU needs psutil: pip install oryx-mllm[serve].")
        self._choice = TokenChoice(visuals.first_id, placeholder)
        self._decoder = Decoder(model.language_model, visuals)
        self._sizes = (num_pages, max_requests, max_batch_tokens)
        self._loop = loop
        self._ended = ended
        self._manager: Manager | None = None
        self._answers: dict[str, Answer] = {}
        self._serials = itertools.count()

    def start(self) -> None:
        """Make the key-value cache, and begin.

        Raises:
            ConfigError: there is no memory for it, or it does not fit the language model.
        """

        def ended(error: Exception | None) -> None:
            if self._manager is manager:  # and was not told to stop
                self._call(self._ended, f"{error or 'it ended by itself'}".rstrip("."))

        manager = Manager(
            self._decoder,
            *self._sizes,
            self._choice,
            deliver=lambda outputs: self._call(self._deliver, outputs),
            ended=ended,
        )
        try:
            manager.warmup()  # makes the cache in this thread, where its errors can be told
        except (MemoryError, torch.OutOfMemoryError):
            raise ConfigError(
                f"there is no memory for keys and values of {self._sizes[0] * PAGE_SIZE:,} positions; "
                "lower cache_tokens."
            ) from None
        except ValueError as error:
            raise ConfigError(
                f"{type(self._decoder.language_model).__name__} does not fit continuous batching ({error})."
            ) from None
        self._manager = manager
        with torch.inference_mode():
            manager.start()

    def stop(self) -> None:
        """End at once, and forget what was kept."""
        manager, self._manager = self._manager, None
        if manager is not None:
            manager.stop(block=True, hard_stop=True)

    def submit(self, ids: list[int], sampling: Sampling, end_ids: Sequence[int], name: str = "") -> Answer:
        """Hand a request over. If the manager is about to end by itself, the answer fails when it has.

        Args:
            ids: of the prompt, those of visuals included.
            end_ids: that end the answer.
        """
        answer = Answer(f"{next(self._serials)} {name}")
        self._choice.add(answer.request_id, sampling, self._decoder.device)
        self._answers[answer.request_id] = answer
        assert self._manager is not None
        self._manager.add_request(
            ids,
            request_id=answer.request_id,
            max_new_tokens=sampling.max_tokens,
            streaming=True,
            eos_token_id=list(end_ids) or NO_ID,
        )
        return answer

    def release(self, answer: Answer) -> None:
        """Forget a request, and cancel it if it still runs."""
        self._choice.remove(answer.request_id)
        del self._answers[answer.request_id]
        if not answer.is_finished and self._manager is not None:
            self._manager.cancel_request(answer.request_id)

    def fail_all(self, error: str) -> None:
        for answer in self._answers.values():
            answer.fail(error)

    def _deliver(self, outputs: list[GenerationOutput]) -> None:
        for output in outputs:
            answer = self._answers.get(output.request_id)
            if answer is None:  # cancelled
                continue
            if output.error is not None:
                answer.fail(f"the engine has died ({output.error}).")
            else:
                answer.extend(output.generated_tokens, output.is_finished())

    def _call(self, function: Callable[..., None], *arguments: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody listens
            self._loop.call_soon_threadsafe(function, *arguments)
