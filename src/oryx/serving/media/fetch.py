"""`http(s)://` addresses: fetched from allowed hosts only, and only where these are on the public network.

Names are looked up here, and the connection goes to an address that was checked, so a name that is answered
differently a moment later leads nowhere else. Nothing of the environment (proxies, credentials) has a say.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpcore2 as httpcore

from oryx.serving.errors import RequestError
from oryx.serving.media.addresses import parse_address
from oryx.serving.media.files import shown
from oryx.serving.media.policy import PORTS, MediaPolicy, host_name
from oryx.serving.media.room import Room

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""(host, port) -> addresses."""
IsAllowed = Callable[[IPv4Address | IPv6Address], bool]

MAX_ADDRESS = 8192
REDIRECTS = (301, 302, 303, 307, 308)
HEADERS = [(b"Accept", b"image/*, video/*, */*;q=0.1"), (b"Accept-Encoding", b"identity")]
_PLAIN = re.compile(r"[!-\[\]-~]+")  # printable ASCII without blanks and backslashes


@dataclass(frozen=True)
class Target:
    """An address that may be asked, in parts that need not be read a second time."""

    scheme: str
    host: str
    port: int
    path: str

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}{self.path}"


async def fetch(
    source: str, policy: MediaPolicy, room: Room, resolve: Resolve, is_allowed: IsAllowed
) -> bytes:
    """The body of an address.

    Raises:
        RequestError: a host or an address that is not allowed, here or on any redirect; no answer in time, or
            none that is a file; or one that is too large.
    """
    target = check_address(source, policy)
    backend = _CheckedBackend(policy.connect_seconds, resolve, is_allowed)
    try:
        async with asyncio.timeout(policy.total_seconds):
            for _ in range(policy.max_redirects + 1):
                body = await _get(target, backend, room)
                if isinstance(body, bytes):
                    return body
                moved = check_address(body, policy)
                if target.scheme == "https" and moved.scheme != "https":
                    raise _failure(f"{shown(source)} leads from https to http.")
                target = moved
    except TimeoutError:
        raise _failure(f"{shown(source)} did not arrive within {policy.total_seconds:g} s.") from None
    except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
        reason = type(error).__name__.removesuffix("Error")
        raise _failure(f"{shown(source)} cannot be fetched ({reason}).") from None
    raise _failure(f"{shown(source)} is redirected more than {policy.max_redirects} times.")


def check_address(source: str, policy: MediaPolicy) -> Target:
    """An address of an allowed host in its parts.

    Raises:
        RequestError: anything else.
    """
    name = shown(source)
    if len(source) > MAX_ADDRESS or not _PLAIN.fullmatch(source):
        raise _refusal(f"{name} is no address of at most {MAX_ADDRESS:,} characters, all of them ASCII.")
    try:
        parts = urlsplit(source)
        port = parts.port
    except ValueError:
        raise _refusal(f"{name} is no address.") from None
    scheme, host = parts.scheme.lower(), host_name(parts.hostname or "")
    if scheme not in PORTS:
        raise _refusal(f"{name} has a scheme that is not allowed; allowed are http and https.")
    if "@" in parts.netloc:
        raise _refusal("an address must not have a user name or a password in it.")
    port = PORTS[scheme] if port is None else port
    if host is None or not any(allowed.admits(host, scheme, port) for allowed in policy.hosts):
        raise _refusal(f"{name} is not of a host (and port) that this server fetches media from.")
    return Target(scheme, host, port, (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))


async def look_up(host: str, port: int) -> list[str]:
    """Addresses of a host, from the system's resolver."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


async def _get(target: Target, backend: httpcore.AsyncNetworkBackend, room: Room) -> bytes | str:
    """The body, or the address of a redirect."""
    url = httpcore.URL(scheme=target.scheme, host=target.host, port=target.port, target=target.path)
    # A pool of its own: no connection outlives the checks that it was made under.
    async with (
        httpcore.AsyncConnectionPool(network_backend=backend, http2=False, retries=0) as pool,
        pool.stream("GET", url, headers=HEADERS) as response,
    ):
        headers = {name.lower(): value for name, value in response.headers}
        if response.status in REDIRECTS and b"location" in headers:
            try:
                return urljoin(str(target), headers[b"location"].decode("latin-1"))
            except ValueError:
                raise _refusal(f"the host {target.host} redirects to what is no address.") from None
        if response.status != 200:
            raise _failure(f"the host {target.host} answered with status {response.status}.")
        if headers.get(b"content-encoding", b"identity").lower() not in (b"identity", b""):
            raise _failure(f"the host {target.host} sent a compressed answer, which was not asked for.")
        length = headers.get(b"content-length", b"")
        if length.isdigit():
            room.check(int(length[:20]))
        body = bytearray()
        async for chunk in response.aiter_stream():
            room.take(len(chunk), len(body))
            body += chunk
        if not body:
            raise _failure(f"the host {target.host} sent nothing.")
        return bytes(body)


class _CheckedBackend(httpcore.AsyncNetworkBackend):
    """Connects to addresses that were looked up and checked, and to no others."""

    def __init__(self, seconds: float, resolve: Resolve, is_allowed: IsAllowed) -> None:
        self._seconds, self._resolve, self._is_allowed = seconds, resolve, is_allowed
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            async with asyncio.timeout(self._seconds):
                addresses = [parse_address(text) for text in await self._resolve(host, port)]
                # One that is not public makes all of them suspect.
                if not addresses or not all(map(self._is_allowed, addresses)):
                    raise _refusal(f"the host {host} is not on the public network.")
                for address in addresses[:-1]:
                    try:
                        return await self._network.connect_tcp(str(address), port)
                    except httpcore.ConnectError:
                        continue
                return await self._network.connect_tcp(str(addresses[-1]), port)
        except TimeoutError:
            raise _failure(f"the host {host} does not answer within {self._seconds:g} s.") from None
        except OSError:
            raise _failure(f"the host {host} cannot be found.") from None

    async def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        raise _refusal("sockets of this machine are not fetched from.")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def _refusal(message: str) -> RequestError:
    return RequestError(message, code="address_not_allowed", param="messages")


def _failure(message: str) -> RequestError:
    return RequestError(message, code="media_not_fetched", param="messages")
