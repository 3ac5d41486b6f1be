"""The server's side of one worker process."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from oryx.errors import CheckpointError
from oryx.serving.encoding import EncodingJob
from oryx.serving.quoting import quoted_line
from oryx.serving.workers.channel import WORN, BrokenReplyError, pack_pickle, receive, send, unpack_reply
from oryx.serving.workers.samples import PromptForm
from oryx.serving.workers.setup import WorkerSetup

logger = logging.getLogger(__name__)

PROGRAM = "oryx.serving.workers.main"
START_SECONDS = 300.0
"""To import torch and to load a processor, on a machine that is busy with much else."""
END_SECONDS = 2.0
"""For a process that has closed its socket to end."""
LARGE = 2**20
"""Bytes of a job from which on it is packed beside the event loop."""
# Of the server's environment a worker gets what a program needs to run, and no keys or passwords.
KEPT = ("PATH", "HOME", "LANG", "TZ", "TMPDIR", "VIRTUAL_ENV", "CONDA_PREFIX", "LD_LIBRARY_PATH")
SET = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "CUDA_VISIBLE_DEVICES": "",
    "HF_HUB_OFFLINE": "1",
    # Of glibc: blocks from 1 MB on go back to the system when they are freed, and there is one heap for all
    # threads, so that a process holds what it needs and memory limits mean what they say.
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "1048576",
    "MALLOC_TRIM_THRESHOLD_": "8388608",
}


class WorkerEndedError(Exception):
    """The process is gone, by itself or because it was ended."""


@dataclass(frozen=True)
class Reply:
    """What a worker answered."""

    fields: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]


class WorkerProcess:
    """A process that takes one job at a time.

    Args:
        setup: what it is told once.
        ended: called in the event loop, once, when the process is gone after it was ready.
        program: the module it runs.
    """

    def __init__(
        self, setup: WorkerSetup, ended: Callable[[WorkerProcess], None], program: str = PROGRAM
    ) -> None:
        self.setup, self.program = setup, program
        self._ended = ended
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._reply: asyncio.Future[Reply] | None = None
        self._burial: asyncio.Task[None] | None = None
        self.is_ready = self.is_confined = False
        self.is_worn = False
        """It holds more memory than it should: `kill` it, for a fresh one."""
        self.form: PromptForm | None = None
        """Of its prompts, once it is ready."""

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._socket is not None

    async def start(self) -> None:
        """Run the process until it is ready for jobs.

        Raises:
            CheckpointError: it found no processor to load.
            WorkerEndedError: it ended, or was not ready in time.
        """
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", self.program, str(theirs.fileno())],
                stdin=subprocess.PIPE,
                pass_fds=[theirs.fileno()],
                env=_environment(),
                start_new_session=True,  # Ctrl-C is for the server, which lets its jobs finish
            )
        self._socket = ours
        loop.add_reader(ours, self._read)
        self._reply = loop.create_future()
        try:
            send(ours, pack_pickle(self.setup))
            async with asyncio.timeout(START_SECONDS):
                reply = await self._reply
        except BaseException as error:
            await self.end()
            if isinstance(error, TimeoutError):
                raise WorkerEndedError(f"it was not ready within {START_SECONDS:g} s") from None
            raise
        if reply.fields.get("kind") != "ready":
            await self.end()
            raise CheckpointError(str(reply.fields.get("message")))
        self.form = PromptForm(**reply.fields["form"])
        self.is_confined = bool(reply.fields.get("confined"))
        if self.setup.confined and not self.is_confined:
            logger.warning("this kernel has no Landlock: workers are not kept from opening other files")
        self.is_ready = True

    async def submit(self, job: EncodingJob, num_bytes: int, is_plan: bool) -> asyncio.Future[Reply]:
        """Hand a job over; its reply comes later, or `WorkerEndedError`.

        Args:
            num_bytes: about how large the job is.
            is_plan: ask for what it will cost, not for the prompt.
        """
        assert self._reply is None
        request = job, is_plan
        file = pack_pickle(request) if num_bytes < LARGE else await _pack_large(request)
        self._reply = reply = asyncio.get_running_loop().create_future()
        try:
            if self._socket is None:
                os.close(file)
                raise ConnectionError
            send(self._socket, file)
        except OSError:
            self._lose(kill=False)
        return reply

    def kill(self) -> None:
        """End the process and all that it started, at once."""
        self._lose()

    async def end(self) -> None:
        """The same, and wait until it is gone."""
        self._lose()
        if self._burial is not None:
            await asyncio.shield(self._burial)

    def _read(self) -> None:
        """Something came from the process, or its end."""
        assert self._socket is not None
        try:
            received = receive(self._socket)
            if received is None:
                self._lose(kill=False)
                return
            flag, file = received
            fields, arrays = unpack_reply(file)
        except BlockingIOError:
            return
        except (BrokenReplyError, OSError) as error:
            logger.error("worker %s sent something broken: %s", self.pid, quoted_line(str(error)))
            self.kill()
            return
        self.is_worn = flag == WORN
        reply, self._reply = self._reply, None
        if reply is None:
            logger.error("worker %s sent something that nobody asked for", self.pid)
            self.kill()
        elif not reply.done():
            reply.set_result(Reply(fields, arrays))

    def _lose(self, kill: bool = True) -> None:
        """The process is given up, or has ended by itself."""
        if self._socket is None:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._socket)
        self._socket.close()
        self._socket = None
        assert self._process is not None
        self._burial = loop.create_task(self._bury(self._process))
        if kill:
            _kill(self._process)

    async def _bury(self, process: subprocess.Popen[bytes]) -> None:
        """Once it is gone, whoever waits for it is told."""
        try:
            await asyncio.to_thread(process.wait, END_SECONDS)
        except subprocess.TimeoutExpired:  # it has closed its socket, and lives
            _kill(process)
            await asyncio.to_thread(process.wait)
        assert process.stdin is not None
        process.stdin.close()
        logger.info("worker %s ended with %s", process.pid, process.returncode)
        reply, self._reply = self._reply, None
        if reply is not None and not reply.done():
            reply.set_exception(WorkerEndedError(f"it ended with {process.returncode}"))
            reply.exception()  # looked at, even if nobody waits any more
        if self.is_ready:
            self._ended(self)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a process, and what it may have started. It is not reaped yet, so the number is still its own."""
    if process.returncode is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


async def _pack_large(request: tuple[EncodingJob, bool]) -> int:
    packing = asyncio.get_running_loop().run_in_executor(None, pack_pickle, request)
    try:
        return await asyncio.shield(packing)
    except asyncio.CancelledError:
        packing.add_done_callback(lambda done: os.close(done.result()))
        raise


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in KEPT or name.startswith("LC_")}
    paths = os.pathsep.join(path for path in sys.path if path)
    return {**kept, **SET, "PYTHONPATH": paths}
