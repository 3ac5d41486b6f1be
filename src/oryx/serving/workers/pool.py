"""`EncodingPool`: requests to prompts, in processes that may break down over hostile media."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from oryx.errors import ConfigError
from oryx.media.parallel import num_cores
from oryx.serving.encoding import EncodingJob, EncodingLimits
from oryx.serving.engine import Prompt
from oryx.serving.quoting import quoted_line
from oryx.serving.workers.answers import read_plan, read_sample, stopped, unable
from oryx.serving.workers.channel import BrokenReplyError
from oryx.serving.workers.checks import check_job, sources_of, visuals_of
from oryx.serving.workers.refusals import out_of_time, worker_died
from oryx.serving.workers.samples import PromptForm, visual_keys
from oryx.serving.workers.setup import WorkerSetup
from oryx.serving.workers.worker import PROGRAM, Reply, WorkerEndedError, WorkerProcess

if TYPE_CHECKING:
    from oryx.processing.budget import Planner
    from oryx.processing.collate import EncodedSample

logger = logging.getLogger(__name__)
T = TypeVar("T")

GRACE_SECONDS = 2.0
"""A job that is out of time may take so long to notice by itself, which saves its process."""
ABANDONED_SECONDS = 1.0
"""A job whose client has left may go on for so long, which is quicker than a new process."""
MAX_BACKOFF = 30.0


class EncodingPool:
    """Worker processes behind a queue.

    Args:
        model: "nano", a folder or a hub id, as in `oryx.load`; no weights are read.
        num_workers: processes.
        limits: what one request may take.
        media_root: paths in jobs must be below it; None for no paths.
        max_queue: jobs that may wait for a worker.
        planner: spends budgets: the engine's own, if it is at hand; else it is made as `oryx plan` makes it.
        vision_tower, dtype, device, quantize: as in `oryx.load`, for that planner.
        max_threads: that decode side by side in a worker; by default the cores are shared out.
        confined: workers give up what they do not need, where the kernel has Landlock (see `sandbox`).
    """

    def __init__(
        self,
        model: str | Path,
        num_workers: int = 2,
        limits: EncodingLimits | None = None,
        *,
        media_root: Path | None = None,
        max_queue: int = 64,
        planner: Planner | None = None,
        vision_tower: Path | None = None,
        dtype: str = "auto",
        device: str = "auto",
        quantize: str | None = None,
        max_threads: int | None = None,
        confined: bool = True,
        program: str = PROGRAM,
    ) -> None:
        if num_workers < 1 or max_queue < 0:
            raise ConfigError("a pool needs at least 1 worker, and a queue of 0 or more.")
        self.model, self.num_workers, self.max_queue = str(model), num_workers, max_queue
        self.limits = limits or EncodingLimits()
        self.media_root = media_root
        self.num_restarts = 0
        """Workers that were replaced."""
        self._planner = planner
        self._loading: dict[str, Any] = {
            "vision_tower": vision_tower,
            "dtype": dtype,
            "device": device,
            "quantize": quantize,
        }
        self._max_threads = max_threads or max(1, num_cores() // num_workers)
        self._confined, self._program = confined, program
        self._setup: WorkerSetup | None = None
        self._form: PromptForm | None = None
        self._workers: set[WorkerProcess] = set()
        self._idle: deque[WorkerProcess] = deque()
        self._waiting: deque[asyncio.Future[WorkerProcess]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_running = self._is_failing = False

    @property
    def num_waiting(self) -> int:
        """Jobs in the queue."""
        return sum(not waiting.done() for waiting in self._waiting)

    @property
    def num_ready(self) -> int:
        """Workers that are ready or at work."""
        return sum(worker.is_ready and worker.is_alive for worker in self._workers)

    @property
    def num_busy(self) -> int:
        """Jobs at work."""
        return self.num_ready - len(self._idle)

    async def start(self) -> None:
        """Start all workers, and wait until they are ready.

        Raises:
            OryxError: no such model, or one whose processor or config cannot be read.
        """
        folder, planner = await asyncio.to_thread(self._prepare)
        self._setup = WorkerSetup(
            folder, planner, self.limits, self.media_root, self._max_threads, self._confined
        )
        self._is_running = True
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self.num_workers):
                    group.create_task(self._add_worker())
        except BaseExceptionGroup as errors:
            await self.stop()
            error = errors.exceptions[0]
            if isinstance(error, WorkerEndedError):
                raise ConfigError(f"a worker process cannot be started: {error}.") from None
            raise error from None

    async def stop(self) -> None:
        """End all workers; what waits or is at work gets a 503."""
        self._is_running = False
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_exception(stopped())
        self._waiting.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(
            *self._tasks, *(worker.end() for worker in self._workers), return_exceptions=True
        )
        self._workers.clear()
        self._idle.clear()

    async def encode(self, job: EncodingJob) -> Prompt:
        """The prompt of a request.

        Cancelled, it leaves the queue, or lets its worker finish for a moment before it is replaced.

        Raises:
            RequestError: 400 for what is wrong with the request, 413 or 422 for what is beyond the limits or
                breaks the decoder, 503 where the queue is full or the pool does not run.
        """
        sample = await self._run(job, read=self._read_sample)
        # Not the worker's to say: equal keys have equal tokens, whoever asks.
        keys = await asyncio.to_thread(visual_keys, sample) if sample.spans else []
        return Prompt(sample, tuple(keys), sum(stop - start for start, stop in sample.spans))

    async def plan(self, job: EncodingJob) -> dict[str, Any]:
        """What a request will cost, from the headers of its media: the object of `oryx plan --json`.

        Raises:
            RequestError: as `encode`.
        """
        return await self._run(job, read=read_plan, is_plan=True)

    async def _run(self, job: EncodingJob, read: Callable[[Reply], T], is_plan: bool = False) -> T:
        """What a worker answers to a job, as `read` reads it; errors as `encode`."""
        check_job(job, self.limits)
        worker = await self._acquire()
        reply: asyncio.Future[Reply] | None = None
        try:
            reply = await worker.submit(job, _size(job), is_plan)
            async with asyncio.timeout(self.limits.max_seconds + GRACE_SECONDS):
                answer = await asyncio.shield(reply)
            return read(answer)
        except TimeoutError:
            worker.kill()
            raise out_of_time(self.limits.max_seconds) from None
        except WorkerEndedError as error:
            if not self._is_running:
                raise stopped() from None
            logger.error("a worker broke down over a request: %s", error)
            raise worker_died() from None
        except BrokenReplyError as error:
            logger.error("worker %s sent something broken: %s", worker.pid, quoted_line(str(error)))
            worker.kill()
            raise worker_died() from None
        except asyncio.CancelledError:
            if reply is not None and not reply.done():
                self._abandon(worker, reply)
                worker = None  # type: ignore[assignment]
            raise
        finally:
            if worker is not None:
                self._release(worker)

    def _read_sample(self, answer: Reply) -> EncodedSample:
        assert self._form is not None
        return read_sample(answer, self._form, self.limits)

    async def _acquire(self) -> WorkerProcess:
        """A worker for one job, once it is this job's turn."""
        if not self._is_running:
            raise stopped()
        if self._idle:
            return self._idle.popleft()
        if self._is_failing and not self.num_ready:
            raise unable("the server cannot read media at the moment; try again later.", "no_worker")
        if self.num_waiting >= self.max_queue:
            raise unable("the server is busy: its queue is full; try again later.", "queue_full")
        waiting: asyncio.Future[WorkerProcess] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        try:
            return await waiting
        except asyncio.CancelledError:
            if waiting.done() and not waiting.cancelled() and waiting.exception() is None:
                self._release(waiting.result())
            raise
        finally:
            with suppress(ValueError):
                self._waiting.remove(waiting)

    def _release(self, worker: WorkerProcess) -> None:
        """The worker's job is done: the next one is its turn."""
        if not worker.is_alive or not self._is_running:
            return
        if worker.is_worn:
            worker.kill()
            return
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(worker)
                return
        self._idle.append(worker)

    def _abandon(self, worker: WorkerProcess, reply: asyncio.Future[Reply]) -> None:
        """Nobody waits for the reply any more."""
        timer = asyncio.get_running_loop().call_later(ABANDONED_SECONDS, worker.kill)

        def done(_: Any) -> None:
            timer.cancel()
            self._release(worker)

        reply.add_done_callback(done)

    async def _add_worker(self) -> None:
        assert self._setup is not None
        worker = WorkerProcess(self._setup, self._replace, self._program)
        self._workers.add(worker)
        try:
            await worker.start()
        except BaseException:
            self._workers.discard(worker)
            raise
        self._form = self._form or worker.form
        self._release(worker)

    def _replace(self, worker: WorkerProcess) -> None:
        """A worker is gone: start another."""
        self._workers.discard(worker)
        with suppress(ValueError):
            self._idle.remove(worker)
        if self._is_running:
            self.num_restarts += 1
            task = asyncio.get_running_loop().create_task(self._add_worker_in_time())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _add_worker_in_time(self) -> None:
        """Try, with longer and longer pauses, until there is one worker more."""
        pause = 1.0
        while self._is_running:
            try:
                await self._add_worker()
                self._is_failing = False
                return
            except Exception as error:
                self._is_failing = True
                logger.error("a worker cannot be started, next try in %.0f s: %s", pause, error)
            await asyncio.sleep(pause)
            pause = min(2 * pause, MAX_BACKOFF)

    def _prepare(self) -> tuple[Path, Planner]:
        from oryx.cli.forecast import make_planner, model_folder

        folder = model_folder(self.model)
        return folder, self._planner or make_planner(folder, **self._loading)


def _size(job: EncodingJob) -> int:
    sources = (source for visual in visuals_of(job) for source in sources_of(visual))
    return sum(len(source) for source in sources if isinstance(source, bytes))
