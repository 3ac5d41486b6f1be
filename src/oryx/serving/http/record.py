"""What becomes known of a request on its way through the server."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field

from starlette.types import Scope

from oryx.serving.errors import RequestError

KEY = "oryx.record"
"""Of a record in its request's scope."""


@dataclass
class Record:
    """What becomes known of a request on its way."""

    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    began: float = field(default_factory=time.perf_counter)
    status: int = 0
    """Of the answer, 0 before it begins."""
    prompt_tokens: int = 0
    visual_tokens: int = 0
    generated_tokens: int = 0
    has_left: bool = False
    """The client closed the connection before the end."""
    error_status: int = 0
    """Of the error that the client was told, also in the midst of a stream; 0 without one."""
    error_code: str = ""

    def fail(self, error: RequestError) -> None:
        """The client is told this error."""
        self.error_status, self.error_code = error.status, error.code or error.type

    @property
    def seconds(self) -> float:
        """Since the headers came."""
        return time.perf_counter() - self.began


def record_of(scope: Scope) -> Record:
    """The record that `RequestLog` made for a request."""
    return scope[KEY]
