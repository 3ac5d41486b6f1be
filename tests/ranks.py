"""Several gloo processes on one machine, as `torchrun` would start them, but quickly.

They are forked from a server that has imported the trainer once, so each starts in milliseconds and clean.
"""

from __future__ import annotations

import importlib.util
import inspect
import multiprocessing
import os
import socket
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

TIMEOUT_S = 100
SOON_S = 5


class RankFailed(Exception):  # noqa: N818 (reads as what happened)
    """A process ended without a result: its exit code, or its traceback."""


def run_ranks(size: int, function: Callable[..., Any], *args: Any) -> list[Any]:
    """What `function(*args)`, a function of a test's module, returns in each of `size` processes, by rank.

    As a launcher does, the first process that ends badly ends the others.

    Raises:
        RankFailed: one of them ended badly, or they hang.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["oryx.training.running", "ranks"])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    target = (
        inspect.getfile(function),
        function.__name__,
    )  # pytest's names of modules mean nothing elsewhere
    pipes = [context.Pipe(duplex=False) for _ in range(size)]
    processes = [
        context.Process(target=_run, args=(rank, size, port, pipe[1], target, args), daemon=True)
        for rank, pipe in enumerate(pipes)
    ]
    for process in processes:
        process.start()
    for _, sender in pipes:
        sender.close()
    results: dict[int, Any] = {}
    try:
        while len(results) < size:
            ready = wait([pipes[rank][0] for rank in range(size) if rank not in results], TIMEOUT_S)
            if not ready:
                raise RankFailed(f"nothing happened for {TIMEOUT_S} s: the processes hang")
            for rank in [rank for rank in range(size) if pipes[rank][0] in ready]:
                results[rank] = _receive(rank, pipes[rank][0], processes)
    finally:
        for process in processes:
            process.kill()
            process.join()
    return [results[rank] for rank in range(size)]


def _receive(rank: int, receiver: Connection, processes: Sequence[Any]) -> Any:
    try:
        is_good, content = receiver.recv()
    except EOFError:
        processes[rank].join()
        raise RankFailed(f"process {rank} ended with {processes[rank].exitcode}") from None
    if is_good:
        return content
    # Where a process is killed, the others fail for lack of it, and may say so first.
    others = [process for process in processes if process is not processes[rank]]
    if others:
        wait([process.sentinel for process in others], SOON_S)
    for other, process in enumerate(processes):
        if process.exitcode is not None and process.exitcode < 0:
            raise RankFailed(f"process {other} ended with {process.exitcode}")
    raise RankFailed(f"process {rank}: {content}")


def _run(rank: int, size: int, port: int, sender: Connection, target: tuple[str, str], args: Any) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    if size > 1:  # a process alone is started by no launcher
        os.environ |= {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(size),
            "LOCAL_WORLD_SIZE": str(size),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
        }
    import torch

    torch.set_num_threads(1)
    try:
        sender.send((True, _load(*target)(*args)))
    except Exception:
        sender.send((False, traceback.format_exc()))


def _load(path: str, name: str) -> Callable[..., Any]:
    spec = importlib.util.spec_from_file_location("module_of_ranks", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)
