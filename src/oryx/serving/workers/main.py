"""The program of a worker process: loads a processor, gives up its rights, and encodes jobs until it is left.

It is started as `python -m oryx.serving.workers.main SOCKET` by `WorkerProcess`, with the number of an open
socket. Its standard input is held open by the server: when that ends, so does the worker.
"""

from __future__ import annotations

import gc
import io
import logging
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from oryx.errors import OryxError
from oryx.media.limits import lower_limits
from oryx.serving.encoding import EncodingJob
from oryx.serving.workers.channel import ARRAYS, FINE, WORN, pack_reply, receive, send, unpack_pickle
from oryx.serving.workers.refusals import OutOfTime, refusal_of
from oryx.serving.workers.samples import PromptForm
from oryx.serving.workers.sandbox import MemoryLimit, confine, end_with_parent, limit_process, program_folders
from oryx.serving.workers.setup import WorkerSetup

if TYPE_CHECKING:
    from oryx.processing.costs import ModelSizes
    from oryx.processing.processor import OryxProcessor

WRITTEN_BYTES = 2**28
"""A reply may have so many beside its patches."""
RING_AGAIN = 1.0
"""Seconds until a job that is out of time is told so once more, should some library have swallowed it."""


def main() -> None:
    end_with_parent()
    sock = socket.socket(fileno=int(sys.argv[1]))
    setup: WorkerSetup = unpack_pickle(_next(sock))
    try:
        processor = _prepare(setup)
    except OryxError as error:
        send(sock, pack_reply({"kind": "failed", "message": str(error)}))
        return
    memory = MemoryLimit(setup.limits.max_memory)
    limit_process(WRITTEN_BYTES + setup.limits.max_patches * 3 * processor.rule.patch_size**2)
    roots = [] if setup.media_root is None else [setup.media_root.resolve()]
    # Before the first thread, since it binds this one and those that come after it.
    is_confined = setup.confined and confine([*program_folders(), *roots])
    threading.Thread(target=_end_with_server, daemon=True).start()
    signal.signal(signal.SIGALRM, _ring)
    gc.collect()
    gc.freeze()  # what is here stays: collecting what a job leaves behind need not look at it again
    form = asdict(_form_of(processor, setup.planner.sizes))
    send(sock, pack_reply({"kind": "ready", "confined": is_confined, "form": form}))
    while True:
        file = _next(sock)
        memory.begin()
        reply = _answer(processor, file, setup, memory)
        send(sock, reply, WORN if memory.is_worn() else FINE)


def _prepare(setup: WorkerSetup) -> OryxProcessor:
    """The processor, with everything imported that jobs need."""
    import av
    import torch
    from PIL import Image

    from oryx.loading import load_processor
    from oryx.serving.workers import encode  # noqa: F401  not with the clock of the first job running

    logging.disable(logging.WARNING)  # of what is odd about a file, the client hears what matters
    av.logging.set_level(av.logging.PANIC)
    torch.set_num_threads(1)
    lower_limits(setup.limits.max_pixels, setup.limits.formats, setup.max_threads)
    processor = load_processor(setup.folder)
    processor.planner = setup.planner
    first = io.BytesIO()
    Image.new("RGB", (64, 64)).save(first, "PNG")
    Image.init()
    visual = {"type": "image", "image": first.getvalue(), "max_pixels": 4096, "compression": 16}
    processor.encode_messages([{"role": "user", "content": [visual, {"type": "text", "text": "warm up"}]}])
    return processor


def _form_of(processor: OryxProcessor, sizes: ModelSizes | None) -> PromptForm:
    num_ids = 1 + max(processor.tokenizer.get_vocab().values())
    if sizes is not None:
        num_ids = min(num_ids, sizes.text.vocab_size)
    return PromptForm(num_ids, processor.image_token_id, 3 * processor.rule.patch_size**2)


def _answer(processor: OryxProcessor, file: int, setup: WorkerSetup, memory: MemoryLimit) -> int:
    """The packed reply to a job."""
    try:
        with _alarm(setup.limits.max_seconds):
            return _encode(processor, unpack_pickle(file), setup)
    except BaseException as error:
        memory.begin()  # the answer to a lack of memory takes some
        refusal = refusal_of(error, setup.media_root, setup.limits.max_seconds)
        is_known = isinstance(error, OryxError | OutOfTime | MemoryError)
        return pack_reply(
            {
                "kind": "refused",
                "message": refusal.message,
                "status": refusal.status,
                "code": refusal.code,
                "detail": "" if is_known else traceback.format_exc(limit=-8)[-4000:],
            }
        )


def _encode(processor: OryxProcessor, request: tuple[EncodingJob, bool], setup: WorkerSetup) -> int:
    """The packed prompt of a job, or what it will cost."""
    from oryx.serving.workers.encode import encode_job, forecast_job

    job, is_plan = request
    if is_plan:
        plan = forecast_job(processor, job, setup.limits, setup.media_root)
        return pack_reply({"kind": "plan", "plan": plan})
    sample = encode_job(processor, job, setup.limits, setup.media_root)
    arrays = {name: getattr(sample, name) for name in ARRAYS if getattr(sample, name) is not None}
    spans = [[int(start), int(stop)] for start, stop in sample.spans]
    return pack_reply({"kind": "prompt", "spans": spans}, arrays)


class _Alarm:
    """Whether a job is running that may be out of time."""

    is_on = False


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """Raises OutOfTime in the block once it has taken so long."""
    signal.setitimer(signal.ITIMER_REAL, seconds, RING_AGAIN)
    _Alarm.is_on = True
    try:
        yield
    finally:
        _Alarm.is_on = False
        signal.setitimer(signal.ITIMER_REAL, 0)


def _ring(*_: Any) -> None:
    if _Alarm.is_on:
        raise OutOfTime


def _next(sock: socket.socket) -> int:
    """The next file from the server; without a server there is no use in going on."""
    received = receive(sock)
    if received is None:
        os._exit(0)
    return received[1]


def _end_with_server() -> None:
    """Ends this process with the server, however that ends, on systems that do not do it by themselves."""
    while os.read(0, 1):
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
