"""Bodies are counted and timed while they come in, before anything reads them."""

from __future__ import annotations

import asyncio
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from oryx.serving.errors import RequestError
from oryx.serving.http.errors import BusyError, error_response
from oryx.serving.http.settings import BYTES_A_SECOND, Limits

# How long, and for how much, an upload that was refused is still taken in: a client that is cut off while it
# sends may never see the answer.
_LINGER_SECONDS = 2.0
_LINGER_BYTES = 16 * 2**20

SMALL_BODY = 64 * 1024
"""Bytes that a body may have however much the server holds: a few uploads do not keep every question out."""


class BodyLimit:
    """Ends bodies that are too large or too slow, and keeps all large bodies together below a limit.

    A body has room for what its `Content-Length` says before it is read, or is refused: so bodies that have
    begun do not lose to others. One of unknown length is counted as it comes.
    """

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self.app = app
        self.limits = limits
        self.num_held = 0
        """Bytes of bodies of requests that are not answered yet, those included that were only announced."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with its body under watch."""
        body = _Body(self, scope, receive, send)
        try:
            if _is_ambiguous(scope):
                refusal = RequestError("where the body ends is told in two ways.", code="malformed_http")
                await error_response(refusal)(scope, body.receive, body.send)
            else:
                await self.app(scope, body.receive, body.send)
        finally:
            body.let_go()


class _Body:
    """The body of one request."""

    def __init__(self, owner: BodyLimit, scope: Scope, receive: Receive, send: Send) -> None:
        self.owner = owner
        self.num_bytes = 0
        """That have come."""
        self.num_held = 0
        """That are counted."""
        self._receive = receive
        self._send = send
        headers = dict(scope["headers"])
        announced = headers.get(b"content-length", b"0")
        self._announced = int(announced) if announced.isdigit() else 0
        self._is_whole = not self._announced and b"transfer-encoding" not in headers
        self._deadline = time.monotonic() + owner.limits.body_seconds

    async def receive(self) -> Message:
        """The next part; once the body is whole, what the server says next (the client has left).

        Raises:
            RequestError: too large (413), too slow (408).
            BusyError: the server holds as much as it may (503).
        """
        limits = self.owner.limits
        if self._announced > limits.max_body:
            raise self._too_large()
        self._hold(self._announced)
        deadline = None if self._is_whole else max(0.0, self._deadline - time.monotonic())
        try:
            async with asyncio.timeout(deadline):
                message = await self._receive()
        except TimeoutError:
            raise RequestError(
                f"the body came too slowly: it must be whole in {limits.body_seconds:g} s, and a second more "
                f"for each {BYTES_A_SECOND // 1024} KiB of it.",
                status=408,
                code="body_timeout",
            ) from None
        if message["type"] == "http.request":
            size = len(message.get("body", b""))
            self._deadline += size / BYTES_A_SECOND
            self.num_bytes += size
            self._is_whole = not message.get("more_body", False)
            if self.num_bytes > limits.max_body:
                raise self._too_large()
            self._hold(self.num_bytes)
        return message

    def let_go(self) -> None:
        """Count nothing of it any more."""
        self.owner.num_held -= self.num_held
        self.num_held = 0

    async def send(self, message: Message) -> None:
        """Pass the answer on. If the body is not whole by then, the connection ends with the answer."""
        if self._is_whole:
            await self._send(message)
        elif message["type"] == "http.response.start":
            self.let_go()
            await self._send({**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]})
        elif message["type"] == "http.response.body" and not message.get("more_body", False):
            await self._send({**message, "more_body": True})
            await self._linger()
            await self._send({"type": "http.response.body", "body": b""})
        else:
            await self._send(message)

    def _hold(self, num_bytes: int) -> None:
        """Count so many bytes for it, if there are not as many yet."""
        more = num_bytes - self.num_held
        if more <= 0:
            return
        if num_bytes > SMALL_BODY and self.owner.num_held + more > self.owner.limits.max_held:
            raise BusyError(
                "the server holds as many bytes of requests as it may; ask again later.", "bodies_full"
            )
        self.num_held += more
        self.owner.num_held += more

    async def _linger(self) -> None:
        num_bytes = 0
        try:
            async with asyncio.timeout(_LINGER_SECONDS):
                while num_bytes < _LINGER_BYTES:
                    message = await self._receive()
                    if message["type"] != "http.request" or not message.get("more_body", False):
                        return
                    num_bytes += len(message.get("body", b""))
        except TimeoutError:
            return

    def _too_large(self) -> RequestError:
        return RequestError(
            f"the body is larger than {self.owner.limits.max_body:,} bytes, the most that is taken.",
            status=413,
            code="body_too_large",
        )


def _is_ambiguous(scope: Scope) -> bool:
    """Whether others on the way may see another end of the body, and a request of its own behind it."""
    names = {name for name, _ in scope["headers"]}
    return b"transfer-encoding" in names and (b"content-length" in names or scope["http_version"] == "1.0")
