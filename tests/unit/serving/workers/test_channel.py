"""What server and worker hand each other: nothing copied by name, nothing left behind, nothing believed."""

import json
import os
import socket

import numpy as np
import pytest

from oryx.serving.workers.channel import (
    WORN,
    BrokenReplyError,
    pack_pickle,
    pack_reply,
    receive,
    send,
    unpack_pickle,
    unpack_reply,
)


@pytest.fixture(autouse=True)
def nothing_is_left():
    files, shared = os.listdir("/proc/self/fd"), os.listdir("/dev/shm")
    yield
    assert len(os.listdir("/proc/self/fd")) == len(files)
    assert os.listdir("/dev/shm") == shared


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


ARRAYS = {
    "ids": np.arange(7),
    "patches": np.arange(600, dtype=np.uint8).reshape(2, 300)[:, ::2],
    "grids": np.zeros((0, 2), np.int64),
}


def raw(data: bytes, seals: int | None = None) -> int:
    """A file with any content, sealed as replies are unless told otherwise."""
    import fcntl

    file = os.memfd_create("test", os.MFD_ALLOW_SEALING)
    os.write(file, data)
    every = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
    fcntl.fcntl(file, fcntl.F_ADD_SEALS, every if seals is None else seals)
    return file


def test_values_and_arrays_come_through(pair):
    ours, theirs = pair
    send(theirs, pack_reply({"kind": "prompt", "spans": [[1, 2]]}, ARRAYS), WORN)
    flag, file = receive(ours)
    fields, arrays = unpack_reply(file)
    assert (flag, fields) == (WORN, {"kind": "prompt", "spans": [[1, 2]]})
    assert list(arrays) == list(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array)
        assert arrays[name].dtype == array.dtype
    arrays["ids"][0] = 5  # as torch would have it
    del arrays


def test_a_job_comes_through(pair):
    ours, theirs = pair
    job = {"messages": ({"content": b"x" * 10**6},)}
    send(ours, pack_pickle(job))
    assert unpack_pickle(receive(theirs)[1]) == job


def test_memory_goes_back_with_the_last_array():
    _, arrays = unpack_reply(pack_reply({}, {"patches": np.zeros((2**26,), np.uint8)}))
    arrays["patches"][::4096] = 1
    assert mapped() >= 2**26
    del arrays
    assert mapped() == 0


def mapped() -> int:
    """Bytes of nameless files in this process's memory."""
    with open("/proc/self/maps") as maps:
        spans = [line.split()[0] for line in maps if "memfd:oryx" in line]
    return sum(int(end, 16) - int(begin, 16) for begin, end in (span.split("-") for span in spans))


def test_the_other_side_may_be_gone(pair):
    ours, theirs = pair
    theirs.close()
    assert receive(ours) is None
    with pytest.raises(OSError, match="pipe"):
        send(ours, pack_reply({}))


def test_a_message_without_a_file_is_broken(pair):
    ours, theirs = pair
    theirs.send(b"\n")
    with pytest.raises(BrokenReplyError):
        receive(ours)
    first, second = raw(b"a"), raw(b"b")
    socket.send_fds(theirs, [b"\n"], [first, second])
    os.close(first)
    os.close(second)
    with pytest.raises(BrokenReplyError):
        receive(ours)
    ours.setblocking(False)
    with pytest.raises(BlockingIOError):
        receive(ours)


def header(value: object) -> bytes:
    text = json.dumps(value).encode()
    return len(text).to_bytes(8, "little") + text


@pytest.mark.parametrize(
    "data",
    [
        *(
            b"",
            b"\0" * 8,
            b"\xff" * 8,
            (100).to_bytes(8, "little") + b"{}",
            header([]),
            header({"fields": {}}),
        ),
        header({"fields": {}, "arrays": {"ids": ["int64", [10**9]]}}),
        header({"fields": {}, "arrays": {"ids": ["int64", [-1]]}}),
        header({"fields": {}, "arrays": {"ids": ["int64", [2**62, 2**62]]}}),
        header({"fields": {}, "arrays": {"ids": ["object", [1]]}}),
        header({"fields": {}, "arrays": {"ids": ["O", [1]]}}),
        header({"fields": {}, "arrays": {"ids": ["int64", "x"]}}),
        header({"fields": {}, "arrays": {"ids": 5}}),
        header({"fields": {}, "arrays": [1]}),
        header({"fields": 5, "arrays": {}}),
        b"\x80\x05" + b"x" * 100,
    ],
)
def test_what_is_no_reply_is_broken(data: bytes):
    """A worker may have been taken over by a file that it read."""
    with pytest.raises(BrokenReplyError):
        unpack_reply(raw(data))


def test_a_reply_that_could_change_is_broken():
    """Cut short while it is mapped, it would end the server."""
    with pytest.raises(BrokenReplyError, match="could change"):
        unpack_reply(raw(header({"fields": {}, "arrays": {}}), seals=0))


def test_a_reply_cannot_be_changed():
    file = pack_reply({}, ARRAYS)
    for change in (lambda: os.write(file, b"x"), lambda: os.ftruncate(file, 1)):
        with pytest.raises(PermissionError):
            change()
    os.close(file)


def test_packing_that_fails_leaves_nothing():
    with pytest.raises(TypeError):
        pack_reply({"kind": object()})
    with pytest.raises((TypeError, AttributeError)):
        pack_pickle(lambda: None)
