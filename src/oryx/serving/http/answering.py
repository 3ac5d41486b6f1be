"""Writes an answer while its client listens: whole or streamed, and no longer than the client stays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from oryx.serving.encoding import EncodingJob
from oryx.serving.engine import EngineStopped, Piece
from oryx.serving.http.answers import Chunks, completion, error_event
from oryx.serving.http.chat_request import ChatRequest
from oryx.serving.http.errors import BusyError, as_request_error, error_response
from oryx.serving.http.record import Record, record_of
from oryx.serving.http.service import Service
from oryx.serving.http.tasks import cancel

_STREAM_HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # proxies pass each event on as it comes
)


class Answer(Response):
    """The answer to one checked request. Its status is known only once the engine has said something."""

    def __init__(self, service: Service, body: ChatRequest, job: EncodingJob) -> None:
        super().__init__()
        self.service = service
        self.asked = body
        self.job = job

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, unless the client leaves or the server ends before."""
        writer = _Writer(self, scope, receive, send)
        writing = asyncio.create_task(writer.write())
        leaving = asyncio.create_task(_has_left(receive))
        cut = asyncio.create_task(self.service.lifecycle.cut.wait())
        try:
            await asyncio.wait({writing, leaving, cut}, return_when=asyncio.FIRST_COMPLETED)
            if not writing.done():
                await cancel(writing)  # frees the place and the engine before anything else
                record_of(scope).has_left = leaving.done()
                if not leaving.done():
                    await writer.tell(BusyError("the server has shut down.", "server_draining"))
            else:
                writing.result()
        finally:
            await cancel(writing, leaving, cut)


class _Writer:
    """Sends one answer in whichever form was asked for."""

    def __init__(self, answer: Answer, scope: Scope, receive: Receive, send: Send) -> None:
        self.service = answer.service
        self.asked, self.job = answer.asked, answer.job
        self.record: Record = record_of(scope)
        self.scope, self.receive, self.send = scope, receive, send
        self.streams = False
        """An event has been sent, so that errors are events, too."""

    async def write(self) -> None:
        """The whole answer, or the error that stands in its place."""
        try:
            async with self.service.answer(self.asked, self.job, self.record) as pieces:
                if self.asked.stream:
                    await self._stream(pieces)
                else:
                    await self._collect(pieces)
        except Exception as error:
            await self.tell(error)

    async def tell(self, error: Exception) -> None:
        """An error, as an answer or as the last event of a stream."""
        told = as_request_error(error, self.record.id)
        if not self.streams:
            await error_response(told)(self.scope, self.receive, self.send)
        else:
            self.record.fail(told)
            await self._event(error_event(told), more=False)

    async def _collect(self, pieces: AsyncIterator[Piece]) -> None:
        texts, reason = [], None
        async for piece in pieces:
            texts.append(piece.text)
            reason = piece.finish_reason
        if reason is None:
            raise EngineStopped
        body: dict[str, Any] = completion(self.record, self.service.parts.model_name, "".join(texts), reason)
        await JSONResponse(body)(self.scope, self.receive, self.send)

    async def _stream(self, pieces: AsyncIterator[Piece]) -> None:
        options = self.asked.stream_options
        with_usage = bool(options and options.include_usage)
        chunks = Chunks(self.record, self.service.parts.model_name, with_usage)
        async for piece in pieces:
            if not self.streams:  # only now is it sure that there is an answer
                await self.send({"type": "http.response.start", "status": 200, "headers": [*_STREAM_HEADERS]})
                self.streams = True
                await self._event(chunks.role())
            if piece.text:
                await self._event(chunks.text(piece.text))
            if piece.finish_reason is not None:
                await self._event(chunks.end(piece.finish_reason), more=False)
                return
        raise EngineStopped

    async def _event(self, data: bytes, more: bool = True) -> None:
        await self.send({"type": "http.response.body", "body": data, "more_body": more})


async def _has_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
