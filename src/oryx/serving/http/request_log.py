"""One line in the log for each request, its numbers in the metrics, and an end for every error.

Lines name no content, no key and no address of a medium.
"""

from __future__ import annotations

import logging

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from oryx.serving.http.errors import as_request_error, error_response
from oryx.serving.http.metrics import Metrics
from oryx.serving.http.record import KEY, Record
from oryx.serving.quoting import quoted_line

logger = logging.getLogger("oryx.serving.requests")

CHAT_PATH = "/v1/chat/completions"
CLIENT_LEFT = 499
"""The status, in log and metrics alone, of a request whose client did not wait."""
_QUIET_PATHS = ("/health", "/metrics")
_LONGEST_PATH = 80


class RequestLog:
    """The outermost part: what it does not see has not happened."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and keep its record."""
        if scope["type"] != "http":
            return
        record = scope[KEY] = Record()

        async def watch(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", record.id.encode())]
            await send(message)

        try:
            await self.app(scope, receive, watch)
        except Exception as error:
            if record.status == 500:
                return  # told and logged by the framework, which raises it again
            answer = error_response(as_request_error(error, record.id))
            if record.status:
                raise  # too late for an answer: the connection is closed
            await answer(scope, receive, watch)
        finally:
            self._keep(scope, record)

    def _keep(self, scope: Scope, record: Record) -> None:
        status = CLIENT_LEFT if record.has_left else record.error_status or record.status
        path = scope["path"]
        if path not in _QUIET_PATHS:
            endpoint = (
                path if path == CHAT_PATH else "/v1/models" if path.startswith("/v1/models") else "other"
            )
            self.metrics.requests.labels(endpoint, str(status)).inc()
        if path == CHAT_PATH:
            self.metrics.request_seconds.observe(record.seconds)
            self.metrics.prompt_tokens.inc(record.prompt_tokens)
            self.metrics.visual_tokens.inc(record.visual_tokens)
            self.metrics.generated_tokens.inc(record.generated_tokens)
        tokens = ""
        if record.prompt_tokens:
            tokens = (
                f" {record.prompt_tokens} prompt tokens ({record.visual_tokens} visual),"
                f" {record.generated_tokens} generated,"
            )
        shown = quoted_line(path[:_LONGEST_PATH])
        code = "client_left" if record.has_left else quoted_line(record.error_code[:_LONGEST_PATH])
        why = f" ({code}, {record.id})" if status >= 400 else ""
        level = logging.DEBUG if path in _QUIET_PATHS else logging.INFO
        logger.log(level, "%s %s %d%s%s %.2f s", scope["method"], shown, status, why, tokens, record.seconds)
