"""Files that keep a second process out of a folder that a first one writes."""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock, Timeout

from oryx.errors import ConfigError

PATIENCE_S = 10.0
"""Processes of a killed run may hold its lock until they notice, which takes 5 seconds."""


def take_lock(path: Path, complaint: str, patience: float = PATIENCE_S) -> FileLock | None:
    """Hold the file `path` until `release`, or the end of this process; the file itself stays.

    Args:
        complaint: the sentence for a process that comes second.
        patience: seconds to wait for the first one to end; -1 for as long as it takes.

    Returns:
        None where no file can be locked, as on some network file systems: nobody is kept out there.

    Raises:
        ConfigError: another process holds it.
    """
    # A marker of filelock's own would outlive a process that is killed, and keep the next one out.
    lock = FileLock(path, fallback_to_soft=False)
    try:
        lock.acquire(timeout=patience)
    except Timeout:
        raise ConfigError(complaint) from None
    except (OSError, NotImplementedError):
        return None
    return lock
