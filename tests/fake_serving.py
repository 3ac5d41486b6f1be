"""An engine that echoes the question, and what else a server needs, without a model."""

from __future__ import annotations

import asyncio
import base64
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from oryx.errors import ConfigError, MediaError
from oryx.media.image import describe
from oryx.processing.collate import EncodedSample
from oryx.serving.encoding import EncodingJob
from oryx.serving.engine import EngineStopped, Piece, Prompt, Sampling
from oryx.serving.errors import RequestError
from oryx.serving.http.server import Server, bind, run_server
from oryx.serving.http.service import Parts
from oryx.serving.http.settings import Access, Limits
from oryx.serving.workers.refusals import refusal_of

TOKENS_PER_VISUAL = 10
VISUAL_ID = 0


class FakeEngine:
    """Answers with the last question, a word at a time.

    Questions that begin with "hold" are answered only when `release` is set, "die" ends the engine, "break"
    is a bug, "endless" goes on slowly until `max_tokens`, "flood" fast and with long words, and "late" fails
    after the first word.
    """

    name = "fake"

    def __init__(self, max_positions: int = 4096, start_error: Exception | None = None) -> None:
        self.max_positions = max_positions
        self.start_error = start_error
        self.may_start = threading.Event()
        self.may_start.set()
        self.release = threading.Event()
        self.running: set[str] = set()
        self.most_running = 0
        self.samplings: list[Sampling] = []
        self.has_stopped = False
        self.has_died = False

    @property
    def is_running(self) -> bool:
        return not (self.has_stopped or self.has_died)

    async def start(self) -> None:
        """Waits for `may_start`, and fails with `start_error` if there is one."""
        while not self.may_start.is_set():
            await asyncio.sleep(0.01)
        if self.start_error is not None:
            raise self.start_error

    async def stop(self) -> None:
        """Lets go."""
        self.has_stopped = True

    async def generate(self, prompt: Prompt, sampling: Sampling, request_id: str) -> AsyncIterator[Piece]:
        """One piece for each word."""
        self.samplings.append(sampling)
        self.running.add(request_id)
        self.most_running = max(self.most_running, len(self.running))
        try:
            question = question_of(prompt)
            if sampling.top_k == 13:
                raise ConfigError("this engine does not sample from 13 tokens.")
            if question.startswith("die"):
                raise EngineStopped
            if question.startswith("break"):
                raise ZeroDivisionError("a secret of the inside")
            while question.startswith("hold") and not self.release.is_set():
                await asyncio.sleep(0.005)
            words = question.split(" ")
            if question.startswith("endless"):
                words = ["word"] * sampling.max_tokens
            if question.startswith("flood"):
                words = ["word" * 5000] * sampling.max_tokens
            for number, word in enumerate(words, start=1):
                is_cut = number == sampling.max_tokens
                if number == 2 and question.startswith("late"):
                    raise (
                        EngineStopped if "death" in question else ZeroDivisionError("a secret of the inside")
                    )
                reason = "length" if is_cut else "stop" if number == len(words) else None
                yield Piece(word + (" " if number < len(words) else ""), 1, reason)
                if is_cut:
                    return
                await asyncio.sleep(0.01 if question.startswith("endless") else 0)
        finally:
            self.running.discard(request_id)


def question_of(prompt: Prompt) -> str:
    """The text that a `FakePool` made a prompt of."""
    ids = prompt.sample.ids
    return bytes(ids[ids != VISUAL_ID].astype(np.uint8)).decode()


@dataclass
class FakePool:
    """Prompts whose ids are the bytes of the last message's text, after ten positions for each visual."""

    jobs: list[EncodingJob] = field(default_factory=list)
    has_stopped: bool = False

    async def start(self) -> None:
        """Nothing to do."""

    async def stop(self) -> None:
        """Remembers that it was asked."""
        self.has_stopped = True

    async def encode(self, job: EncodingJob) -> Prompt:
        """A media file of b"bad" cannot be read, nor one of b"unreadable", as a worker would say."""
        self.jobs.append(job)
        await asyncio.sleep(0)
        parts = [part for message in job.messages for part in message["content"]]
        visuals = [part for part in parts if part["type"] != "text"]
        if any(part.get("image") == b"bad" for part in visuals):
            raise MediaError("the picture is no picture.")
        for place, part in enumerate(visuals, start=1):
            source = part[part["type"]]
            if b"unreadable" in (source if isinstance(source, list) else [source]):
                prefix = f"visual {place} of {len(visuals)}: " if len(visuals) > 1 else ""
                raise refusal_of(MediaError(f"{prefix}{describe(b'')} is no picture"))
        last = job.messages[-1]["content"]
        text = "".join(part["text"] for part in last if part["type"] == "text").strip("\n")
        ids = np.array([VISUAL_ID] * TOKENS_PER_VISUAL * len(visuals) + list(text.encode()), dtype=np.int64)
        count = len(visuals)
        spans = [(TOKENS_PER_VISUAL * index, TOKENS_PER_VISUAL * (index + 1)) for index in range(count)]
        sample = EncodedSample(
            ids=ids,
            labels=None,
            patches=None,
            grids=np.zeros((count, 2), dtype=np.int64),
            compressions=np.ones(count, dtype=np.int64),
            visual_lengths=np.ones(count, dtype=np.int64),
            visual_kinds=np.zeros(count, dtype=np.int64),
            spans=spans,
        )
        keys = tuple(str(index) for index in range(count))
        return Prompt(sample, keys, TOKENS_PER_VISUAL * count)


class FakeLoader:
    """Takes data URLs and nothing else."""

    async def load_all(self, sources: Sequence[tuple[str, str]]) -> list[bytes | Path]:
        """The bytes of data URLs."""
        return [self._load(source, kind) for source, kind in sources]

    def _load(self, source: str, kind: str) -> bytes:
        if not source.startswith(f"data:{kind}/"):
            raise RequestError(f"{kind}s come as data URLs here.", code="media_not_allowed", param="messages")
        try:
            return base64.b64decode(source.partition(",")[2], validate=True)
        except ValueError:
            raise RequestError("the data URL is no base64.", code="media_unreadable") from None


@dataclass
class Running:
    """A server in a thread of its own."""

    port: int
    engine: FakeEngine
    pool: FakePool
    server: Server
    loop: asyncio.AbstractEventLoop
    thread: threading.Thread
    result: list[int | BaseException]

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"http://127.0.0.1:{self.port}"

    def end(self) -> None:
        """As a signal would."""
        self.loop.call_soon_threadsafe(self.server.end)


@contextmanager
def serving(
    limits: Limits | None = None,
    access: Access | None = None,
    engine: FakeEngine | None = None,
    waits: bool = True,
) -> Iterator[Running]:
    """A server on a free port of loopback, ended when the block is left.

    Args:
        waits: until the engine has started.
    """
    engine, pool = engine or FakeEngine(), FakePool()
    parts = Parts(engine, pool, FakeLoader(), "nano")
    listener = bind("127.0.0.1", 0)
    port = listener.getsockname()[1]
    is_ready, has_begun = threading.Event(), threading.Event()
    found: list[tuple[Server, asyncio.AbstractEventLoop]] = []
    result: list[int | BaseException] = []

    def begun(server: Server) -> None:
        found.append((server, asyncio.get_running_loop()))
        has_begun.set()

    def run() -> None:
        try:
            result.append(
                asyncio.run(
                    run_server(parts, limits or Limits(), access or Access(), listener, is_ready.set, begun)
                )
            )
        except BaseException as error:
            result.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert has_begun.wait(10)
    if waits:
        assert is_ready.wait(10)
    server, loop = found[0]
    running = Running(port, engine, pool, server, loop, thread, result)
    try:
        yield running
    finally:
        engine.may_start.set()
        engine.release.set()
        if thread.is_alive():
            loop.call_soon_threadsafe(server.end)
            thread.join(10)
        assert not thread.is_alive(), "the server did not end"


def eventually(check: Callable[[], object], seconds: float = 5.0) -> None:
    """Waits until something is so."""
    import time

    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end, "it did not become so"
        time.sleep(0.005)
