"""Answers from a model in this process: media encoded once, prompts that go on from the one before."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event, Lock
from typing import TYPE_CHECKING, Any

from oryx.engine.cache import VisualTokenCache
from oryx.engine.session import Session
from oryx.errors import OryxError
from oryx.processing.costs import kv_cache_bytes
from oryx.web.line import Line
from oryx.web.planning import PagePlanner, Plan, turns_of, without_folders
from oryx.web.replies import BROKEN, Reply, Request

if TYPE_CHECKING:
    from oryx.model.modeling import OryxForConditionalGeneration
    from oryx.processing.processor import OryxProcessor

logger = logging.getLogger(__name__)

KEPT_BYTES = 2**30
CACHE_BYTES = 2**29


class _StoppedError(Exception):
    """The person has seen enough."""


@dataclass(frozen=True)
class _Kept:
    """A session whose keys and values the next question may go on from."""

    key: str
    session: Session
    num_bytes: int


class LocalAsker:
    """Asks one model, one question at a time.

    Args:
        plans: plans with the processor of the same model.
        kept_bytes: sessions used last are kept up to so many bytes of keys, values and visual tokens, one
            always. A session that was dropped is made again when its owner goes on.
        cache_bytes: visual tokens that are found again for the same file and dials, whoever asks.
    """

    def __init__(
        self,
        model: OryxForConditionalGeneration,
        processor: OryxProcessor,
        plans: PagePlanner,
        model_name: str = "nano",
        kept_bytes: int = KEPT_BYTES,
        cache_bytes: int = CACHE_BYTES,
        line: Line | None = None,
    ) -> None:
        self.model = model
        self.processor = processor
        self.plans = plans
        self.model_name = model_name
        self.kept_bytes = kept_bytes
        self.cache = VisualTokenCache(cache_bytes)
        self.line = line or Line()
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._lock = Lock()

    async def ask(self, request: Request, stop: Event) -> AsyncGenerator[Reply, None]:
        """The reply as it grows; leaving the iteration stops it."""
        try:
            place = self.line.enter()
        except OryxError as error:
            yield Reply("failed", status=str(error))
            return
        try:
            async for ahead in self.line.wait(place, stop):
                yield Reply(status=f"{ahead} before you")
            async for reply in self._ask(request, stop):
                yield reply
        finally:
            self.line.leave(place)

    async def _ask(self, request: Request, stop: Event) -> AsyncGenerator[Reply, None]:
        loop = asyncio.get_running_loop()
        replies: asyncio.Queue[Reply] = asyncio.Queue()

        def show(reply: Reply) -> None:
            loop.call_soon_threadsafe(replies.put_nowait, reply)

        answering = _Answering(self, request, stop, show)
        work = asyncio.ensure_future(asyncio.to_thread(answering.run))
        try:
            while True:
                reply = await replies.get()
                while not replies.empty():  # the page is drawn less often than a fast model writes
                    reply = replies.get_nowait()
                yield reply
                if reply.is_over:
                    return
        finally:
            # The model is free only when the thread has ended.
            answering.is_left = True
            await asyncio.shield(work)

    def take(self, owner: str, key: str) -> Session | None:
        """The owner's session, if it has the media and dials of `key`; what does not fit is dropped."""
        with self._lock:
            kept = self._kept.pop(owner, None)
        return kept.session if kept is not None and kept.key == key else None

    def keep(self, owner: str, key: str, session: Session, num_bytes: int) -> None:
        """Keep a session for its owner's next question, and drop those not used for longest."""
        with self._lock:
            self._kept[owner] = _Kept(key, session, num_bytes)
            while len(self._kept) > 1 and sum(one.num_bytes for one in self._kept.values()) > self.kept_bytes:
                self._kept.popitem(last=False)

    def forget(self, owner: str) -> None:
        """Let go of the sessions of owners whose names begin so."""
        with self._lock:
            for name in [name for name in self._kept if name.startswith(owner)]:
                del self._kept[name]

    @property
    def owners(self) -> list[str]:
        """Those whose sessions are kept, the one used last at the end."""
        with self._lock:
            return list(self._kept)


class _Answering:
    """One question on its way, in a thread of its own."""

    def __init__(
        self, asker: LocalAsker, request: Request, stop: Event, show: Callable[[Reply], None]
    ) -> None:
        self.asker = asker
        self.request = request
        self.stop = stop
        self.show = show
        self.reply = Reply(status="reading")
        self.began = 0.0
        self.is_left = False
        """Nobody listens any more."""

    def run(self) -> None:
        """Answer; every way out shows a last reply."""
        self.began = time.perf_counter()
        try:
            self._check()
            self.show(self.reply)
            self.reply = self._answer()
        except _StoppedError:
            self.reply = replace(self.reply, state="stopped", status="")
        except OryxError as error:
            sentence = without_folders(str(error), self.request.media.paths)
            self.reply = replace(self.reply, state="failed", status=sentence)
        except Exception:
            logger.exception("a question could not be answered")
            self.reply = replace(self.reply, state="failed", status=BROKEN)
        self.show(replace(self.reply, seconds=self._seconds()))

    def _answer(self) -> Reply:
        asker, request, settings = self.asker, self.request, self.request.settings
        plan = asker.plans.plan(request.media, settings, request.question, request.earlier)
        key = _key(plan, request)
        session = asker.take(request.owner, key)
        if session is None:
            session = Session(asker.model, asker.processor, asker.cache, settings.prompt_style)
            for visual in plan.visuals:
                session.add(visual, self._read)
        asker.keep(request.owner, key, session, self._num_bytes(plan))
        encoded = self._seconds()
        self.reply = Reply("answering", visual_tokens=session.num_visual_tokens)
        *session.turns, last = turns_of(request.earlier, request.question, len(plan.visuals))
        answer = session.ask(
            last["value"], True, settings.max_new_tokens, settings.temperature, write=self._write
        )
        return Reply(
            "done",
            answer.text,
            visual_tokens=session.num_visual_tokens,
            prompt_tokens=answer.prompt_tokens,
            kept_tokens=answer.cached_tokens,
            new_tokens=answer.num_tokens,
            first_seconds=encoded + answer.first_token_seconds,
            is_cut_off=answer.is_cut_off,
        )

    def _read(self, done: int, total: int) -> None:
        self._check()
        if total > 2:  # an image has two views, which nobody counts
            self.show(Reply(status=f"reading {done} of {total} frames"))

    def _write(self, text: str) -> None:
        self._check()
        self.reply = replace(self.reply, text=self.reply.text + text)
        self.show(self.reply)

    def _check(self) -> None:
        if self.stop.is_set() or self.is_left:
            raise _StoppedError

    def _seconds(self) -> float:
        return time.perf_counter() - self.began

    def _num_bytes(self, plan: Plan) -> int:
        """Keys, values and visual tokens of the longest prompt and answer."""
        model, forecast = self.asker.model, plan.forecast
        positions = forecast.num_positions + self.request.settings.max_new_tokens
        values = forecast.num_visual_tokens * model.config.text_config.hidden_size
        return kv_cache_bytes(positions, forecast.sizes) + values * model.dtype.itemsize


def _key(plan: Plan, request: Request) -> str:
    """What a session's visual tokens depend on. A file written anew under its name is another one."""
    stamps: list[Any] = []
    for path in request.media.paths:
        stat = Path(path).stat()
        stamps.append((path, stat.st_size, stat.st_mtime_ns))
    return repr((stamps, plan.visuals, request.settings.prompt_style))
