"""Files that appear whole or not at all, and places that can be written to, told before any work is done."""

from __future__ import annotations

import errno
import glob
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock

from oryx.errors import ConfigError
from oryx.locks import take_lock


@contextmanager
def staged(path: Path, at: Path | None = None) -> Iterator[Path]:
    """A hidden path beside `path` to write to, which takes its place when the block ends well.

    Args:
        at: the path to write to instead, on the same file system. A kill leaves what was written there.

    It is removed when the block does not. The folder must be there; others may write the same file at this
    moment, and the last one stays.

    Raises:
        OSError: the disk refuses, or the block wrote nothing.
    """
    staging = at or path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        yield staging
        os.replace(staging, path)
    except BaseException:
        with suppress(OSError):
            staging.unlink(missing_ok=True)
        raise


@contextmanager
def staged_folder(path: Path, replace: bool = False) -> Iterator[Path]:
    """The same for a folder with all that it holds; `path` is new, or an empty folder.

    What processes that were killed left beside it is removed; others that write there now are let be.

    Args:
        replace: `path` may hold something, whose place is taken.

    Raises:
        OSError: the disk refuses.
    """
    path = path.resolve()  # "." has no name that another could stand beside
    # Nothing is renamed from one disk to another: a mount point is filled from within.
    beside = path if os.path.ismount(path) else path.parent
    beside.mkdir(parents=True, exist_ok=True)
    for left in beside.glob(_hidden(path, "*", "lock")):
        _remove_left_over(left)
    name = uuid.uuid4().hex[:8]
    place, lock_file = (beside / _hidden(path, name, suffix) for suffix in ("part", "lock"))
    staging, old = place / "new", place / "old"
    lock = take_lock(lock_file, f"{lock_file} is taken.")
    try:
        staging.mkdir(parents=True)
        yield staging
        if not path.exists():
            os.replace(staging, path)
        elif replace:
            os.replace(path, old)
            try:
                os.replace(staging, path)
            except BaseException:
                os.replace(old, path)
                raise
        elif is_free(path):  # filled and not replaced: a shell may stand in it
            for part in staging.iterdir():
                part.rename(path / part.name)
        else:
            raise OSError(errno.ENOTEMPTY, "another run has written there meanwhile", str(path))
    finally:
        shutil.rmtree(place, ignore_errors=True)
        _release(lock, lock_file)


def is_free(path: Path) -> bool:
    """Whether `staged_folder` may write there: nothing, or a folder that holds nothing."""
    path = path.resolve()
    if not path.is_dir():
        return not os.path.lexists(path)
    hidden = {part for suffix in ("part", "lock") for part in path.glob(_hidden(path, "*", suffix))}
    return all(part in hidden for part in path.iterdir())


def _hidden(path: Path, name: str, suffix: str) -> str:
    """The name of what is written for `path` before it is there; a pattern, if `name` is one."""
    own = glob.escape(path.name) if name == "*" else path.name
    return f".{own}.{name}.{suffix}"


def _remove_left_over(lock_file: Path) -> None:
    """Take away what a process wrote that is no more; nothing where that cannot be told."""
    try:
        lock = take_lock(lock_file, "", 0)
    except ConfigError:
        return
    if lock is not None:
        shutil.rmtree(lock_file.with_suffix(".part"), ignore_errors=True)
        _release(lock, lock_file)


def _release(lock: FileLock | None, file: Path) -> None:
    with suppress(OSError):
        file.unlink(missing_ok=True)
    if lock is not None:
        lock.release()
    with suppress(OSError):  # some systems do not remove a file that is open
        file.unlink(missing_ok=True)


def flush(folder: Path) -> None:
    """Wait until all files below `folder` are on the disk. Raises OSError where it does not take them."""
    for file in folder.rglob("*"):
        if file.is_file():
            number = os.open(file, os.O_RDWR)
            try:
                os.fsync(number)
            finally:
                os.close(number)


def write_whole(path: Path, data: bytes) -> Path:
    """Write a file whole or not at all, with its folder, and return its path. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with staged(path) as staging:
        staging.write_bytes(data)
    return path


def make_folder(path: Path) -> None:
    """Make a folder to write to, unless it is there.

    Raises:
        ConfigError: a file of that name, or a place where none can be made.
    """
    _refuse_file(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"the output {path} cannot be written ({error.strerror}).") from None


def check_folder(path: Path) -> None:
    """Refuse what `make_folder` would refuse, or what nothing could be written to, without making anything.

    Raises:
        ConfigError: a file of that name, or a place where nothing can be made.
    """
    _refuse_file(path)
    _check_place(path, [path, *path.absolute().parents])


def check_writable(path: Path) -> None:
    """Refuse a file that could not be written, as far as it can be seen without writing anything.

    Raises:
        ConfigError: a folder of that name, or a place where no file can be made.
    """
    if os.path.isdir(path):
        raise ConfigError(f"{path} cannot be written (a folder has this name).")
    _check_place(path, path.absolute().parents)


def _check_place(path: Path, folders: Sequence[Path]) -> None:
    """Whether things can be made in the first of the folders that is there.

    `os.path` is asked: where the answer is forbidden, or the name too long, pathlib raises on Python 3.11.
    """
    nearest = next(folder for folder in folders if os.path.lexists(folder))
    if not os.path.isdir(nearest):
        reason = f"{nearest} is a {'file' if os.path.exists(nearest) else 'link to nothing'}"
    elif not os.access(nearest, os.W_OK | os.X_OK):
        reason = f"{nearest} does not allow it"
    elif _is_too_long(path):
        reason = "the name is too long"
    else:
        return
    raise ConfigError(f"{path} cannot be written ({reason}).")


def _is_too_long(path: Path) -> bool:
    try:
        path.lstat()
    except OSError as error:
        return error.errno == errno.ENAMETOOLONG
    return False


def _refuse_file(path: Path) -> None:
    if os.path.exists(path) and not os.path.isdir(path):
        raise ConfigError(f"the output {path} is a file; it must be a folder.")
