"""The most memory that a stretch of work takes."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any

import torch

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class PeakMemory:
    """Peak bytes since `start`, or since the process began: of tensors on CUDA, elsewhere of all of it.

    Linux forgets the peak before; elsewhere the peak since the process began is all there is to know, so that
    of a later stretch is never below that of an earlier one.
    """

    def __init__(self, device: torch.device | Any) -> None:
        self.device = torch.device(device)

    def start(self) -> None:
        """Forget the peak so far."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        else:
            with contextlib.suppress(OSError):
                _CLEAR.write_text("5")

    def read(self) -> int:
        """Bytes; 0 where the system does not tell."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        try:
            lines = _STATUS.read_text(encoding="ascii", errors="replace").splitlines()
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
        except (OSError, StopIteration):
            return _max_resident()


def _max_resident() -> int:
    """Not for Linux, where a process inherits this number from the one that started it."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
