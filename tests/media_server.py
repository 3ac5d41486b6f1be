"""A server on this machine that answers as badly as a test wants."""

import asyncio
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address, IPv6Address

Answer = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]


class BadServer:
    """HTTP by hand: a path is answered with bytes, or by a function that writes."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []
        """Request lines and Host headers, as "path host"."""
        self.requests: list[bytes] = []
        self.port = 0

    async def __aenter__(self) -> "BadServer":
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.requests.append(head)
            path = head.split(b" ")[1].decode()
            host = next(line for line in head.decode().splitlines() if line.lower().startswith("host:"))
            self.asked.append(f"{path} {host[5:].strip()}")
            answer = self.answers.get(path, response(b"", "404 Not Found"))
            if isinstance(answer, bytes):
                writer.write(answer)
                await writer.drain()
            else:
                await answer(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


def response(body: bytes, status: str = "200 OK", length: int | None = None, **headers: str) -> bytes:
    """A whole answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def redirect(location: str, status: str = "302 Found") -> bytes:
    return response(b"", status, Location=location)


def is_this_machine(address: IPv4Address | IPv6Address) -> bool:
    """Instead of `is_public`, for servers of a test: the only address they have."""
    return str(address) == "127.0.0.1"
