"""Starts the parts and the HTTP server, and ends both so that what was begun is finished."""

from __future__ import annotations

import asyncio
import errno
import functools
import logging
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import FrameType

import uvicorn

from oryx.errors import ConfigError
from oryx.serving.http.app import build_app
from oryx.serving.http.lifecycle import LAST_SECONDS, Lifecycle
from oryx.serving.http.protocol import LimitedProtocol
from oryx.serving.http.service import Parts
from oryx.serving.http.settings import Access, Limits
from oryx.serving.http.tasks import all_of, cancel

logger = logging.getLogger("oryx.serving.requests")

INTERRUPTED = 130
_STOP_SECONDS = 20.0
"""For the engine and the workers to let go."""


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one.

    Raises:
        ConfigError: the port is taken or needs more rights, or there is no such address.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"--host {host} is no address of this machine ({_reason(error)}).") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"port {port} on {host} is taken; name another with --port, or 0 for any."
            ) from None
        if error.errno == errno.EACCES:
            raise ConfigError(
                f"port {port} needs rights that this user lacks; take one from 1024 on."
            ) from None
        raise ConfigError(f"{host}:{port} cannot be listened to ({_reason(error)}).") from None
    listener.setblocking(False)
    return listener


class Server(uvicorn.Server):
    """uvicorn's server with an end in two steps: it finishes what it has and refuses more; then it closes."""

    def __init__(self, config: uvicorn.Config, lifecycle: Lifecycle, drain_seconds: float) -> None:
        super().__init__(config)
        self.lifecycle = lifecycle
        self.drain_seconds = drain_seconds
        self._ending: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal came. uvicorn would raise it once more in the end; here the end is the answer to it."""
        self._loop.call_soon_threadsafe(self.end)

    def end(self) -> None:
        """Begin to end; the second call ends at once."""
        if self._ending is None:
            self._ending = asyncio.create_task(self._finish())
        else:
            self.force_exit = self.should_exit = True
            self.lifecycle.cut.set()

    async def _finish(self) -> None:
        self.lifecycle.drain()
        finishing = asyncio.create_task(self.lifecycle.finish(self.drain_seconds))
        await asyncio.wait({finishing}, timeout=0.3)
        if not finishing.done():
            logger.info("finishing %d requests; again to end at once", self.lifecycle.num_active)
        await finishing
        self.should_exit = True


async def run_server(
    parts: Parts,
    limits: Limits,
    access: Access,
    listener: socket.socket,
    announce: Callable[[], None] = lambda: None,
    started: Callable[[Server], None] = lambda _: None,
) -> int:
    """Serve until a signal, or until the engine dies; returns the exit code.

    While the engine loads, the server answers already: 503.

    Args:
        announce: called once the engine runs.
        started: called with the server once it listens.

    Raises:
        OryxError: a part cannot start.
    """
    lifecycle = Lifecycle()
    config = uvicorn.Config(
        build_app(parts, limits, access, lifecycle),
        http=functools.partial(LimitedProtocol, limits),  # type: ignore[arg-type]
        ws="none",
        lifespan="off",
        log_config=None,
        log_level=logging.CRITICAL,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=int(LAST_SECONDS),
    )
    server = Server(config, lifecycle, limits.drain_seconds)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    starting = asyncio.create_task(all_of(parts.engine.start(), parts.pool.start()))
    dying = asyncio.create_task(lifecycle.died.wait())
    started(server)
    try:
        await asyncio.wait({serving, starting}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            lifecycle.ready()
            if lifecycle.state == "ready":
                announce()
        await asyncio.wait({serving, dying}, return_when=asyncio.FIRST_COMPLETED)
        if dying.done():
            logger.error("the engine has stopped; the server ends")
            server.end()
    finally:
        if not serving.done() and not dying.done():
            server.should_exit = True  # a part could not start
        with suppress(asyncio.CancelledError):
            await serving
        await cancel(starting, dying)
        await _stop(parts, LAST_SECONDS if server.force_exit else _STOP_SECONDS)
    if server.force_exit:
        return INTERRUPTED
    return 1 if lifecycle.died.is_set() else 0


async def _stop(parts: Parts, seconds: float) -> None:
    async def stop(part: Callable[[], Awaitable[None]]) -> None:
        try:
            async with asyncio.timeout(seconds):
                await part()
        except TimeoutError:
            logger.warning("a part of the server did not end within %g s", seconds)
        except Exception as error:
            logger.warning("a part of the server did not end well (%s)", type(error).__name__)

    await asyncio.gather(stop(parts.engine.stop), stop(parts.pool.stop))


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or type(error).__name__
