"""Ctrl-C and SIGTERM, by which clusters announce a job's end, leave a checkpoint behind."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from types import FrameType
from typing import Any

from oryx.training.distributed import World

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopper:
    """Within its `with`, the first signal only asks the run to stop after the step that is under way.

    A second Ctrl-C ends a run of one process at once; nothing else does, since clusters and launchers send
    signals again that a process has had. Signals that were ignored before stay ignored.
    """

    def __init__(self, is_alone: bool = True) -> None:
        self.signal: int | None = None
        """What asked to stop."""
        self._is_alone = is_alone
        self._former: dict[int, Any] = {}

    def __enter__(self) -> Stopper:
        if threading.current_thread() is threading.main_thread():  # no other can
            for number in SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._former[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def share(self, world: World) -> int | None:
        """What asked any process to stop, known to all of them from now on; all call this together."""
        number = int(world.maxima([self.signal or 0])[0])
        # A signal that came just now is for the next time: the others may not have had it.
        if number:
            self.signal = number
        return number or None

    def raise_signal(self) -> None:
        """End as the signal would have ended the process, had nothing to be saved; nothing without one."""
        if self.signal == signal.SIGINT:
            raise KeyboardInterrupt
        if self.signal is not None:
            raise SystemExit(128 + self.signal)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self._is_alone and self.signal == number == signal.SIGINT:
            self._restore()
            signal.raise_signal(number)
        self.signal = number

    def _restore(self) -> None:
        while self._former:
            signal.signal(*self._former.popitem())


def leave_signals(worker: int) -> None:
    """In a process that makes batches: signals are for the run alone, which may need another batch.

    Clusters and launchers send SIGTERM to every process of a job. Only the run's own counts, by which it ends
    workers that are in its way; on macOS, which does not tell whose it is, every one.
    """
    run = multiprocessing.parent_process()
    tells = run is not None and hasattr(signal, "sigwaitinfo")
    if tells:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if run is not None and tells:
        threading.Thread(target=_wait_for, args=(run.pid,), daemon=True).start()


def _wait_for(run: int | None) -> None:
    """End this process by a SIGTERM of the process `run`, as soon as its other threads let Python on."""
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != run:
        pass
    os._exit(128 + signal.SIGTERM)
