"""Files below the media root. Pictures are checked and read without a gap in which they could be exchanged.

Videos and folders of views are checked here and again in the worker that opens them by name: what could be
exchanged between is fenced in by the worker's own rights (see `workers.sandbox`).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from oryx.media.views import IMAGE_SUFFIXES
from oryx.serving.errors import RequestError
from oryx.serving.media.policy import Kind
from oryx.serving.media.room import Room

# What the system shows there are no files, whatever root was given.
SYSTEM_FOLDERS = tuple(map(Path, ("/proc", "/sys", "/dev")))
MAX_ENTRIES = 100_000
"""Entries of a folder."""
_DIRECTORY = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def path_of(source: str) -> str:
    """The path that a `file://` URL names; any other text is a path already.

    Raises:
        RequestError: a URL of another machine, or with a query.
    """
    if source[:5].lower() != "file:":
        return source
    try:
        url = urlsplit(source)
        is_plain = url.netloc.lower() in ("", "localhost") and not url.query and not url.fragment
        path = unquote(url.path, errors="strict")
    except ValueError:
        is_plain, path = False, ""
    if not is_plain or not path.startswith("/"):
        raise _refusal(f"{shown(source)} must be file:///<path>, of this machine.")
    return path


def read_source(source: str, kind: Kind, root: Path, max_views: int, room: Room) -> bytes | Path:
    """A picture's bytes, or the checked path of a video or of a folder of pictures.

    Args:
        source: a `file://` URL or a path, from `root` on if it is relative.
        max_views: pictures in a folder of views.

    Raises:
        RequestError: outside of the root (whether there is something or not), missing, no regular file or
            folder, or too large.
    """
    name = shown(source)
    path = find_inside(path_of(source), root, name)
    with _opened(path, root, name) as (file, status):
        if stat.S_ISDIR(status.st_mode):
            if kind == "image":
                raise _refusal(f"{name} is a folder; a picture is needed there.")
            _check_folder(path, root, name, max_views if kind == "views" else MAX_ENTRIES)
            return path
        if kind == "views":
            raise _refusal(f"{name} is a file; a folder of pictures is needed there.")
        if kind == "video":
            return path
        room.check(status.st_size)
        with os.fdopen(os.dup(file), "rb") as stream:
            data = stream.read(status.st_size)  # and no more, should it have grown
    if not data:
        raise _refusal(f"{name} is empty (0 bytes).")
    room.take(len(data))
    return data


def check_inside(path: Path, root: Path | None) -> None:
    """Refuse a path that is not, or no longer, a file or a folder of pictures below the root.

    Raises:
        RequestError: as `read_source`.
    """
    if root is None:
        raise _refusal("this server opens no files of its own to requests.", code="file_not_allowed")
    found = find_inside(str(path), root, "a file of the request")
    with _opened(found, root, "a file of the request") as (_, status):
        if stat.S_ISDIR(status.st_mode):
            _check_folder(found, root, "a folder of the request", MAX_ENTRIES)


def find_inside(path: str, root: Path, name: str) -> Path:
    """Where a path leads, symbolic links followed.

    Raises:
        RequestError: out of the root, or into the system's own folders.
    """
    top = root.resolve()
    try:
        found = Path(os.path.realpath(top / path))
    except (OSError, ValueError):  # a null byte, or too long
        raise _refusal(f"{name} is no path.") from None
    if not found.is_relative_to(top) or any(map(found.is_relative_to, SYSTEM_FOLDERS)):
        raise _refusal(f"{name} is not below this server's media root.", code="file_not_allowed")
    return found


def shown(source: str) -> str:
    """How a message names what the client named."""
    return f"'{source}'" if len(source) <= 200 else f"'{source[:200]}...'"


@contextmanager
def _opened(path: Path, root: Path, name: str) -> Iterator[tuple[int, os.stat_result]]:
    """Open step by step from the root on, following nothing: a link made after `find_inside` is refused.

    Yields:
        (file descriptor, status) of a regular file or a folder.
    """
    top = root.resolve()
    *folders, last = path.relative_to(top).parts or ["."]
    place = os.open(top, _DIRECTORY)
    try:
        try:
            for folder in folders:
                inner = os.open(folder, _DIRECTORY, dir_fd=place)
                os.close(place)
                place = inner
            mode = os.stat(last, dir_fd=place, follow_symlinks=False).st_mode
            if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # to open a device may do something
                raise _refusal(f"{name} is neither a file nor a folder.")
            file = os.open(last, _FILE, dir_fd=place)
        except (FileNotFoundError, NotADirectoryError):
            raise _refusal(f"{name} does not exist.") from None
        except OSError:
            raise _refusal(f"{name} cannot be opened.") from None
        try:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
                raise _refusal(f"{name} is neither a file nor a folder.")
            yield file, status
        finally:
            os.close(file)
    finally:
        os.close(place)


def _check_folder(folder: Path, root: Path, name: str, max_pictures: int) -> None:
    """Every picture of a folder must be a regular file below the root."""
    num_pictures = 0
    with os.scandir(folder) as entries:
        for number, entry in enumerate(entries):
            is_picture = Path(entry.name).suffix.lower() in IMAGE_SUFFIXES and not entry.name.startswith(".")
            num_pictures += is_picture
            if number >= MAX_ENTRIES or num_pictures > max_pictures:
                raise _refusal(f"{name} has more than the {max_pictures:,} pictures allowed.", status=413)
            if is_picture:
                target = find_inside(entry.path, root, f"a picture of {name}")
                if not stat.S_ISREG(target.stat().st_mode):
                    raise _refusal(f"a picture of {name} is no regular file.")


def _refusal(message: str, status: int = 400, code: str = "invalid_media") -> RequestError:
    return RequestError(message, status=status, code=code, param="messages")
