"""What a worker gives up before it reads strangers' files: memory, files, programs and the network."""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import resource
import signal
import struct
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

logger = logging.getLogger(__name__)

# Of Landlock, the kernel's way for a process to lower its own rights; numbers are the same on every machine.
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
VERSION_FLAG, PATH_BENEATH = 1, 1
READ_FILE, READ_FOLDER = 1 << 2, 1 << 3
NO_NEW_PRIVILEGES, PARENT_DEATH_SIGNAL = 38, 1  # of prctl
# Version of Landlock -> how many kinds of access to files it knows, from the lowest bit on.
FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
NETWORK_VERSION, NETWORK_RIGHTS = 4, 0b11  # listen and connect, by TCP
SCOPE_VERSION, SCOPES = 6, 0b11  # sockets without a path, and signals, of other processes

MAX_OPEN_FILES = 256


def confine(readable: Iterable[Path]) -> bool:
    """Give up, for this thread and those that it starts: to open anything but `readable` (to read it), to run
    programs, and to connect anywhere by TCP. What is open stays open.

    Returns: False where the kernel has no way to do it, and nothing has changed.
    """
    if not sys.platform.startswith("linux"):
        return False
    call = ctypes.CDLL(None, use_errno=True).syscall
    version = call(CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(VERSION_FLAG))
    if version < 1:
        return False
    rights = [(1 << FILE_RIGHTS.get(version, 16)) - 1]
    rights += [NETWORK_RIGHTS] if version >= NETWORK_VERSION else []
    rights += [SCOPES] if version >= SCOPE_VERSION else []
    handled = struct.pack(f"={len(rights)}Q", *rights)
    rules = call(CREATE_RULESET, handled, ctypes.c_size_t(len(handled)), ctypes.c_uint32(0))
    if rules < 0:
        return False
    try:
        for path in readable:
            try:
                place = os.open(path, os.O_PATH | os.O_CLOEXEC)
            except OSError:
                continue  # nothing there to be read
            allowed = READ_FILE | READ_FOLDER if path.is_dir() else READ_FILE
            try:
                rule = struct.pack("=Qi", allowed, place)
                if call(ADD_RULE, rules, PATH_BENEATH, rule, ctypes.c_uint32(0)):
                    raise OSError(ctypes.get_errno(), f"{path} cannot be kept readable")
            finally:
                os.close(place)
        if ctypes.CDLL(None).prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0):
            return False
        return call(RESTRICT_SELF, rules, ctypes.c_uint32(0)) == 0
    finally:
        os.close(rules)


def program_folders() -> list[Path]:
    """Where modules and libraries are that may still be imported."""
    folders = [*sys.path, sys.prefix, sys.base_prefix, "/usr/lib", "/usr/lib64", "/lib", "/lib64"]
    return [Path(folder) for folder in dict.fromkeys(folders) if folder]


def end_with_parent() -> None:
    """Have the kernel kill this process when the one that started it is gone, where it can do that."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, int(signal.SIGKILL), 0, 0, 0)


def limit_process(max_bytes_written: int) -> None:
    """No core files, few open files, and no more written than a reply may have."""
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_NOFILE, MAX_OPEN_FILES)
    _lower(resource.RLIMIT_FSIZE, max_bytes_written)


class MemoryLimit:
    """Keeps each job to so many bytes beside what the process has at its beginning.

    Args:
        max_bytes: what a job may take.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._status: BinaryIO | None = None
        if sys.platform.startswith("linux"):
            # Held open, since it cannot be opened any more once the process is confined.
            self._status = open("/proc/self/status", "rb", buffering=0)  # noqa: SIM115
        self._idle = self._held()

    def begin(self) -> None:
        """Set the limit for the next job."""
        if self._status is not None:
            _, most = resource.getrlimit(resource.RLIMIT_DATA)
            limit = self._held() + self.max_bytes
            resource.setrlimit(resource.RLIMIT_DATA, (limit if most < 0 else min(limit, most), most))

    def is_worn(self) -> bool:
        """Whether the process holds so much more than it did at first that a fresh one is better.

        Only what nobody gives back counts: cycles are collected, and free memory goes back to the system.
        """
        if self._held() - self._idle <= self.max_bytes // 2:
            return False
        gc.collect()
        with suppress(AttributeError):  # not with every C library
            ctypes.CDLL(None).malloc_trim(0)
        return self._held() - self._idle > self.max_bytes // 2

    def _held(self) -> int:
        """Bytes of memory that is this process's own to write, as the kernel counts them for the limit."""
        if self._status is None:
            return 0
        self._status.seek(0)
        lines = self._status.read().splitlines()
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(b"VmData:")), 0)


def _lower(what: int, value: int) -> None:
    soft, hard = (value if limit < 0 else min(limit, value) for limit in resource.getrlimit(what))
    resource.setrlimit(what, (soft, hard))  # below 0 is no limit
