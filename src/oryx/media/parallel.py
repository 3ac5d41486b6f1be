"""Decoding stretches of a video side by side: one decoder with one thread each keeps more cores busy than one
decoder with many threads, which runs empty at every seek."""

import os
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from oryx.media.container import open_container
from oryx.media.decode import decode_stretch
from oryx.media.limits import decoding_limits
from oryx.media.timeline import Stretch, Timeline

MAX_WORKERS = 8
AHEAD_BYTES = 2**27  # decoded frames that may wait for the reader, all workers together


def num_cores() -> int:
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1


def num_workers(num_stretches: int) -> int:
    """How many decoders are worth their start: 1 where there is too little to share out."""
    return max(1, min(num_cores(), num_stretches // 2, MAX_WORKERS))


def limit_threads(workers: int) -> int:
    """`workers`, or as many as this process may have."""
    return min(workers, decoding_limits().max_threads or workers)


def decode_parallel(
    source: str | Path | bytes, timeline: Timeline, stretches: list[Stretch], workers: int, frame_bytes: int
) -> Iterator[tuple[int, Any]]:
    """Yield (rank, frame of PyAV) in order, as `decode_seeking`; closing the iterator ends all threads.

    Args:
        workers: threads, each with the file opened for itself.
        frame_bytes: size of a decoded frame, which bounds how many are decoded ahead.

    Raises:
        MissedFrameError: as `decode_seeking`.
    """
    window = workers + 1  # a worker may begin a stretch while the reader is so many before it
    exchange = _Exchange(len(stretches), window, max(1, AHEAD_BYTES // (window * frame_bytes)))
    threads = [
        threading.Thread(target=_work, args=(exchange, source, timeline, stretches), daemon=True)
        for _ in range(workers)
    ]
    try:
        for thread in threads:
            thread.start()
        for place in range(len(stretches)):
            yield from exchange.read(place)
    finally:
        exchange.close()
        for thread in threads:
            if thread.ident is not None:
                thread.join()


def _work(exchange: "_Exchange", source: Any, timeline: Timeline, stretches: list[Stretch]) -> None:
    place = exchange.take()
    if place is None:
        return
    try:
        with open_container(source, threads=False) as (container, stream):
            while place is not None:
                for pair in decode_stretch(container, stream, timeline, *stretches[place]):
                    if not exchange.give(place, pair):
                        return
                exchange.finish(place)
                place = exchange.take()
    except Exception as error:  # raised again where the frames are read
        if place is not None:
            exchange.finish(place, error)


class _Exchange:
    """Where workers leave frames, by stretch, and the reader takes them in order."""

    def __init__(self, num_stretches: int, window: int, ahead: int) -> None:
        self._waiting: list[deque[Any]] = [deque() for _ in range(num_stretches)]
        self._ends: dict[int, Exception | None] = {}
        self._window, self._ahead = window, ahead
        self._next, self._reading, self._is_closed = 0, 0, False
        self._changed = threading.Condition()

    def take(self) -> int | None:
        """The next stretch to decode, once the reader is near; None where nothing is left."""
        with self._changed:
            place, self._next = self._next, self._next + 1
            if place >= len(self._waiting):
                return None
            self._changed.wait_for(lambda: self._is_closed or place < self._reading + self._window)
            return None if self._is_closed else place

    def give(self, place: int, item: Any) -> bool:
        """Leave an item, once there is room for it; False where nobody wants it any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or len(self._waiting[place]) < self._ahead)
            self._waiting[place].append(item)
            self._changed.notify_all()
            return not self._is_closed

    def finish(self, place: int, error: Exception | None = None) -> None:
        with self._changed:
            self._ends[place] = error
            self._changed.notify_all()

    def read(self, place: int) -> Iterator[Any]:
        """The items of one stretch; its error is raised after them."""
        with self._changed:
            self._reading = place
            self._changed.notify_all()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting[place] or place in self._ends)
                if not self._waiting[place]:
                    error = self._ends[place]
                    break
                item = self._waiting[place].popleft()
                self._changed.notify_all()
            yield item
        if error is not None:
            raise error

    def close(self) -> None:
        with self._changed:
            self._is_closed = True
            for waiting in self._waiting:
                waiting.clear()
            self._changed.notify_all()
