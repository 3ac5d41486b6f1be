"""Every error leaves as OpenAI's object; what went wrong inside stays in the server's log."""

from __future__ import annotations

import json
import logging
import traceback
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from oryx.errors import OryxError
from oryx.serving.engine import EngineStopped
from oryx.serving.errors import RequestError
from oryx.serving.http.record import record_of
from oryx.serving.quoting import quoted

logger = logging.getLogger("oryx.serving.requests")


class BusyError(RequestError):
    """The server cannot take the request now: 429 or 503, with the seconds after which to ask again."""

    def __init__(self, message: str, code: str, status: int = 503, retry_after: int = 5) -> None:
        kind = "rate_limit_error" if status == 429 else "server_error"
        super().__init__(message, status, kind, code)
        self.retry_after = retry_after


def as_request_error(error: BaseException, request_id: str = "") -> RequestError:
    """What a client is told about an error. An unexpected one is logged and told as no more than that."""
    if isinstance(error, RequestError):
        return error
    if isinstance(error, OryxError):
        return RequestError(f"{str(error).rstrip('.')}.")
    if isinstance(error, EngineStopped):
        return BusyError("the engine has stopped; the server ends.", "engine_stopped")
    if isinstance(error, HTTPException):
        return _of_routing(error)
    what = "".join(traceback.format_exception(error))
    logger.error("%s failed:\n%s", request_id or "a request", quoted(what))
    return RequestError(
        f"an error inside the server; its log has it under {request_id or 'this time'}.",
        status=500,
        type="server_error",
        code="internal_error",
    )


def error_response(error: RequestError) -> Response:
    """The answer for an error."""
    headers = {}
    if isinstance(error, BusyError):
        headers["Retry-After"] = str(error.retry_after)
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    # A message may quote half of a character, which some text encodings of forms can bring.
    body = json.dumps(error.to_dict(), ensure_ascii=False).encode("utf-8", "replace")
    return _Told(error, body, status_code=error.status, headers=headers, media_type="application/json")


class _Told(Response):
    """An error on its way out, which the request's record takes down."""

    def __init__(self, error: RequestError, body: bytes, **more: Any) -> None:
        super().__init__(body, **more)
        self.error = error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        record_of(scope).fail(self.error)
        await super().__call__(scope, receive, send)


def _of_routing(error: HTTPException) -> RequestError:
    if error.status_code == HTTPStatus.NOT_FOUND:
        message = "there is nothing here; try POST /v1/chat/completions, GET /v1/models, /health or /metrics."
        return RequestError(message, status=404, code="not_found")
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = (error.headers or {}).get("Allow", "another")
        return RequestError(f"this address takes {allowed} only.", status=405, code="method_not_allowed")
    kind = "server_error" if error.status_code >= 500 else "invalid_request_error"
    return RequestError(f"{error.detail.rstrip('.')}.", status=error.status_code, type=kind)
