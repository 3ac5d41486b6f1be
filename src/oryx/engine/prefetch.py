"""Work ahead: an iterator runs in a thread of its own, ahead of its reader by so much and no more."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, Self, TypeVar

T = TypeVar("T")


class Prefetcher(Generic[T]):
    """Iterates over `source`, whose items are made in a thread while the reader works on earlier ones.

    A context manager: when its block ends, however it ends, the thread has ended and `source` is closed. An
    error of `source` is raised in the reader as it is, as soon as the reader asks for an item.

    Args:
        source: items to be made; nobody else may touch it from now on.
        size_of: what an item takes of `limit`.
        limit: the thread pauses while the items that wait hold more than this together. One item always may
            wait, however large.
    """

    def __init__(self, source: Iterator[T], size_of: Callable[[T], int], limit: int) -> None:
        self._source, self._size_of, self._limit = source, size_of, limit
        self._ready: deque[T] = deque()
        self._num_waiting = 0
        self._is_done = self._is_closed = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="oryx-prefetch", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        with self._changed:
            self._changed.wait_for(lambda: self._ready or self._is_done)
            if self._error is not None:
                # Handed over, not kept: its traceback leads back here, and such a ring would hold files open.
                error, self._error = self._error, None
                try:
                    raise error
                finally:
                    del error
            if not self._ready:
                raise StopIteration
            item = self._ready.popleft()
            self._num_waiting -= self._size_of(item)
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """End the thread and close `source`; items that still wait are dropped."""
        with self._changed:
            self._is_closed = True
            self._ready.clear()
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        try:
            try:
                for item in self._source:
                    if not self._put(item):
                        break
                    del item  # the reader's alone from here on
            finally:
                # In this thread: a generator cannot be closed from another one while it runs.
                close = getattr(self._source, "close", None)
                if close is not None:
                    close()
        except BaseException as error:
            self._error = error
        with self._changed:
            self._is_done = True
            self._changed.notify_all()

    def _put(self, item: T) -> bool:
        """Whether the reader still wants items, after there was room for this one."""
        size = self._size_of(item)
        with self._changed:
            self._changed.wait_for(
                lambda: self._is_closed or self._num_waiting + size <= self._limit or not self._ready
            )
            if not self._is_closed:
                self._ready.append(item)
                self._num_waiting += size
                self._changed.notify_all()
            return not self._is_closed
