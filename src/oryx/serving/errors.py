"""What a client is told when its request cannot be answered, in the shape of OpenAI's API."""

from __future__ import annotations

from typing import Any

from oryx.errors import OryxError


class RequestError(OryxError):
    """A request that is refused (4xx) or that the server cannot take on now (503).

    Args:
        message: one sentence for the client. It names nothing of the server's that the client did not name.
        status: the HTTP status, 400 to 599.
        type: OpenAI's word for the class of error: "invalid_request_error", "server_error", ...
        code: a word for programs, such as "media_too_large".
        param: the part of the request that is wrong, such as "messages".
    """

    def __init__(
        self,
        message: str,
        status: int = 400,
        type: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
    ) -> None:
        # All of them, so that an error survives pickling on its way from a worker process.
        super().__init__(message, status, type, code, param)
        self.message = message
        self.status = status
        self.type = type
        self.code = code
        self.param = param

    def __str__(self) -> str:
        return self.message

    def to_dict(self) -> dict[str, Any]:
        """The body of the answer: `{"error": {"message", "type", "param", "code"}}`."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}
