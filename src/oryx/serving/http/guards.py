"""Who may ask, and when: the name of the server, the page that asks, the key, and the server's state."""

from __future__ import annotations

import hmac
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from oryx.serving.errors import RequestError
from oryx.serving.http.errors import error_response
from oryx.serving.http.lifecycle import Lifecycle
from oryx.serving.http.settings import Access, normal_host

_OPEN_PATHS = ("/health",)
"""Answered without a key: load balancers have none."""
_ALWAYS_PATHS = ("/health", "/metrics")
"""Answered in every state of the server."""


class Guards:
    """Refuses requests by their headers, before their bodies are read."""

    def __init__(self, app: ASGIApp, access: Access, lifecycle: Lifecycle) -> None:
        self.app = app
        self.access = access
        self.lifecycle = lifecycle
        self._keys = [key.encode("ascii") for key in access.api_keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer why not."""
        refusal = self._refusal(Headers(scope=scope), scope["path"])
        if refusal is not None:
            await error_response(refusal)(scope, receive, send)
        elif scope["path"] in _ALWAYS_PATHS:
            await self.app(scope, receive, send)
        else:
            with self.lifecycle.active():
                await self.app(scope, receive, send)

    def _refusal(self, headers: Headers, path: str) -> RequestError | None:
        names, host = self.access.server_names, headers.get("host", "")
        if names is not None and normal_host(host) not in names:
            return RequestError(
                f"this server does not go by the name {host[:80]!r}; --server-name adds one.",
                status=403,
                code="host_not_allowed",
            )
        if not self._is_own_page(headers.get("origin"), host):
            return RequestError(
                "pages of other servers may not ask this one; --allow-origin names those that may.",
                status=403,
                code="origin_not_allowed",
            )
        if self._keys and path not in _OPEN_PATHS and not self._has_key(headers.get("authorization", "")):
            return RequestError(
                "the API key is missing or wrong; send it as 'Authorization: Bearer KEY'.",
                status=401,
                type="authentication_error",
                code="invalid_api_key",
            )
        return None if path in _ALWAYS_PATHS else self.lifecycle.refusal()

    def _is_own_page(self, origin: str | None, host: str) -> bool:
        # Browsers send it with every POST from a page; other clients do not. A form on any page could
        # otherwise keep the server busy, even if the page cannot read the answer.
        if origin is None or "*" in self.access.origins or origin in self.access.origins:
            return True
        try:
            return bool(host) and urlsplit(origin).netloc.lower() == host.lower()
        except ValueError:
            return False

    def _has_key(self, authorization: str) -> bool:
        scheme, _, given = authorization.partition(" ")
        key = given.strip().encode("latin-1", "replace") if scheme.lower() == "bearer" else b""
        # All are compared, so that the time tells nothing of which.
        return sum(hmac.compare_digest(key, known) for known in self._keys) > 0
