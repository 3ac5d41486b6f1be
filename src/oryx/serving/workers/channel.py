"""How the server and a worker hand each other things: a byte over a socket, and a file without a name.

The file lies in memory and belongs to whoever holds it, so nothing is left behind when either side dies. The
server's word is a pickle. The worker's is not, since a hostile file may have taken the worker over: it is
JSON and arrays, in a file that is sealed against later changes.
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import pickle
import socket
import tempfile
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

import numpy as np

FINE, WORN = b"\n", b"w"
"""Flags of a reply. Worn is a worker that holds more memory than it should: a fresh one is to take over."""
DTYPES = ("uint8", "int64")
"""Of the arrays that a worker may send."""
ARRAYS = ("ids", "patches", "grids", "compressions", "visual_lengths", "visual_kinds")
"""Of an `EncodedSample`, those that a reply has."""
ALIGNMENT = 64
MAX_HEADER = 2**22
"""Bytes of JSON in a reply."""


class BrokenReplyError(Exception):
    """What a worker sent is not what workers send."""


def send(sock: socket.socket, file: int, flag: bytes = FINE) -> None:
    """Hand over a file with one byte, and close it here."""
    try:
        socket.send_fds(sock, [flag], [file])
    finally:
        os.close(file)


def receive(sock: socket.socket) -> tuple[bytes, int] | None:
    """The next byte and file, which is the caller's to close; None where the other side is gone.

    Raises:
        BlockingIOError: the socket does not block, and nothing has come.
        BrokenReplyError: something came without a file, or with several.
    """
    try:
        data, files, *_ = socket.recv_fds(sock, 1, 4)
    except ConnectionError:
        return None
    if len(files) != 1:
        for file in files:
            os.close(file)
        if not data:
            return None
        raise BrokenReplyError("no file came with it")
    os.set_inheritable(files[0], False)
    return data, files[0]


def pack_pickle(value: Any) -> int:
    """Anything, as a file."""
    return _written(lambda stream: pickle.dump(value, stream, protocol=5))


def unpack_pickle(file: int) -> Any:
    """What `pack_pickle` packed, and the file is closed."""
    with os.fdopen(file, "rb") as stream:
        stream.seek(0)
        return pickle.load(stream)


def pack_reply(fields: Mapping[str, Any], arrays: Mapping[str, np.ndarray] | None = None) -> int:
    """Plain values and arrays, as a sealed file: length of the header, the header, the arrays."""
    arrays = {name: np.ascontiguousarray(array) for name, array in (arrays or {}).items()}
    listed = {name: (str(array.dtype), array.shape) for name, array in arrays.items()}
    header = json.dumps({"fields": fields, "arrays": listed}).encode()

    def write(stream: BinaryIO) -> None:
        stream.write(len(header).to_bytes(8, "little") + header)
        for array in arrays.values():
            stream.write(bytes(-stream.tell() % ALIGNMENT))
            stream.write(array.data.cast("B") if array.size else b"")

    return _written(write)


def unpack_reply(file: int) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What `pack_reply` packed, and the file is closed. The arrays share its memory; they may be written to.

    Raises:
        BrokenReplyError: it is not of that form.
    """
    try:
        if not _is_sealed(file):
            raise BrokenReplyError("it could change while it is read")
        size = os.fstat(file).st_size
        length = int.from_bytes(os.pread(file, 8, 0), "little")
        if not 0 < length <= min(MAX_HEADER, size):
            raise BrokenReplyError("it has no header")
        header = json.loads(os.pread(file, length, 8))
        arrays, place = {}, 8 + length
        memory = mmap.mmap(file, size, access=mmap.ACCESS_COPY) if header["arrays"] else b""
        for name, (dtype, shape) in header["arrays"].items():
            if dtype not in DTYPES or not all(isinstance(side, int) and side >= 0 for side in shape):
                raise BrokenReplyError("it has an array of an unknown kind")
            place += -place % ALIGNMENT
            count = int(np.prod(shape, dtype=object))
            array = np.frombuffer(memory, dtype, count, place) if count else np.empty(0, dtype)
            arrays[str(name)] = array.reshape(shape)
            place += array.nbytes
        return dict(header["fields"]), arrays
    except BrokenReplyError:
        raise
    except Exception as error:  # whatever can be wrong with what anybody may have written
        raise BrokenReplyError(str(error)) from None
    finally:
        os.close(file)


def _written(write: Callable[[BinaryIO], Any]) -> int:
    """A file without a name with what `write` writes, sealed where the system can."""
    if hasattr(os, "memfd_create"):
        file = os.memfd_create("oryx", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    else:
        with tempfile.TemporaryFile() as stream:
            file = os.dup(stream.fileno())
    try:
        with os.fdopen(os.dup(file), "wb") as stream:
            write(stream)
        if hasattr(os, "memfd_create"):
            fcntl.fcntl(file, fcntl.F_ADD_SEALS, _seals())
    except BaseException:
        os.close(file)
        raise
    return file


def _seals() -> int:
    return fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL


def _is_sealed(file: int) -> bool:
    if not hasattr(os, "memfd_create"):
        return True
    return fcntl.fcntl(file, fcntl.F_GET_SEALS) & _seals() == _seals()
