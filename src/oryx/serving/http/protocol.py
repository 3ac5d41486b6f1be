"""HTTP on the wire: uvicorn's own, with time limits it lacks, and with errors in OpenAI's shape.

uvicorn waits for ever for headers that do not come and for clients that do not read.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from oryx.serving.errors import RequestError
from oryx.serving.http.errors import BusyError
from oryx.serving.http.settings import Limits


class LimitedProtocol(H11Protocol):
    """One connection."""

    def __init__(self, limits: Limits, **of_uvicorn: Any) -> None:
        super().__init__(**of_uvicorn)
        self.limits = limits
        self._headers_due: asyncio.TimerHandle | None = None
        self._reading_due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for headers, unless there are too many connections."""
        super().connection_made(transport)
        # At asyncio's own 64 KiB, nobody would hear of a client that leaves less than that unread, and a
        # transport that is closed waits for it for ever.
        transport.set_write_buffer_limits(high=0)
        if len(self.connections) > self.limits.max_connections:
            self._refuse(BusyError("the server has as many connections as it takes.", "connections_full"))
        else:
            self._expect_headers()

    def data_received(self, data: bytes) -> None:
        """Take in bytes; the time for headers goes on until they are whole."""
        super().data_received(data)
        if self._is_answering():
            self._stop_waiting()
        elif self._headers_due is None and not self.transport.is_closing():
            self._expect_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._stop_waiting()
        self._stop_losing_patience()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Something is left that the client has not read yet; if it never does, it has left.

        A connection that is being closed has to be read to its end in the same time.
        """
        super().pause_writing()
        self._reading_due = self.loop.call_later(self.limits.send_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """It reads again."""
        super().resume_writing()
        self._stop_losing_patience()

    def send_400_response(self, msg: str) -> None:
        """Answer bytes that are no HTTP."""
        if self._is_answering() and self.cycle.response_started:
            self.transport.close()
        else:
            self._refuse(RequestError("this is no valid HTTP/1.1 request.", code="malformed_http"))

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _expect_headers(self) -> None:
        self._headers_due = self.loop.call_later(self.limits.header_seconds, self._give_up)

    def _give_up(self) -> None:
        if not self.conn.trailing_data[0]:
            self.transport.close()  # browsers open connections ahead of any request
            return
        seconds = self.limits.header_seconds
        self._refuse(
            RequestError(f"no whole request came within {seconds:g} s.", status=408, code="header_timeout")
        )

    def _stop_waiting(self) -> None:
        if self._headers_due is not None:
            self._headers_due.cancel()
            self._headers_due = None

    def _stop_losing_patience(self) -> None:
        if self._reading_due is not None:
            self._reading_due.cancel()
            self._reading_due = None

    def _refuse(self, error: RequestError) -> None:
        """Answer and close, without the application."""
        if self.transport.is_closing():
            return
        body = json.dumps(error.to_dict()).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        if isinstance(error, BusyError):
            headers.append((b"retry-after", str(error.retry_after).encode()))
        try:
            for event in (
                h11.Response(status_code=error.status, headers=headers),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        except h11.LocalProtocolError:
            pass  # an answer has begun already
        self.transport.close()
