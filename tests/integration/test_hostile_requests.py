"""Two thousand requests that mean harm: each is answered with 4xx, and nothing else happens."""

import asyncio
import os
import re
import shutil
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from served import Server, served

pytest.importorskip("fastapi")
httpx = pytest.importorskip("httpx")

NUMBER, AT_A_TIME = 2000, 8
NUM_SLOW_READERS = 8
PATIENCE = 10.0
"""Seconds in which the server must always have said that it lives; the machine may have much else to do."""


class Listener:
    """A private address that counts who connects to it."""

    def __init__(self) -> None:
        self.num_connections = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._count, daemon=True).start()

    def _count(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.num_connections += 1
            connection.close()

    def close(self) -> None:
        self._socket.close()


async def send_all(server: Server, made: list) -> list[tuple[int, str]]:
    """Status and text of each answer."""
    from hostile import body, form

    places = asyncio.Semaphore(AT_A_TIME)
    async with httpx.AsyncClient(base_url=server.url, timeout=120, trust_env=False) as client:

        async def send(one) -> tuple[int, str]:
            async with places:
                if one.wire is not None:
                    return await send_wire(server, one)
                if one.content is not None:
                    kind, data = one.content
                    sent = {"content": data, "headers": {"content-type": kind}}
                else:
                    sent = {"json": body(one)} if one.upload is None else form(one)
                answer = await client.post("/chat/completions", **sent)
                return answer.status_code, answer.text

        return await asyncio.gather(*(send(one) for one in made))


async def send_wire(server: Server, one) -> tuple[int, str]:
    """Bytes as they are; all that comes until the server closes counts as one answer, which it must be."""
    address = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)

    async def trickle() -> None:
        while one.trickles:
            writer.write(b"a")
            await asyncio.sleep(0.2)

    data = b""
    writer.write(one.wire)
    trickling = asyncio.create_task(trickle())
    try:
        async with asyncio.timeout(60):
            with suppress(ConnectionError):  # closed while more was on its way
                while chunk := await reader.read(65536):
                    data += chunk
    finally:
        trickling.cancel()
        writer.transport.abort()
    text = data.decode()
    statuses = re.findall(r"^HTTP/1\.1 (\d+)", text, re.MULTILINE)
    return (int(statuses[0]) if len(statuses) == 1 else 0), text


class Watch:
    """Asks again and again whether the server lives, and remembers the longest wait."""

    def __init__(self, server: Server) -> None:
        self.longest = 0.0
        self._url = server.url.removesuffix("/v1") + "/health"
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._over.wait(0.2):
            began = time.monotonic()
            alive = httpx.get(self._url, timeout=120, trust_env=False).status_code == 200
            self.longest = max(self.longest, time.monotonic() - began if alive else float("inf"))


@contextmanager
def slow_readers(server: Server) -> Iterator[None]:
    """Clients that ask for more than the kernel keeps for them, and read none of it."""
    address, asking = urlsplit(server.url), b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
    connections = [socket.socket() for _ in range(NUM_SLOW_READERS)]

    def ask(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((address.hostname, address.port))
        connection.settimeout(1)
        with suppress(OSError):  # the server takes no more of them
            for _ in range(5000):
                connection.sendall(asking)

    try:
        with ThreadPoolExecutor(NUM_SLOW_READERS) as pool:  # or the first is cut off before the last asks
            list(pool.map(ask, connections))
        yield
    finally:
        for connection in connections:
            connection.close()


def num_sockets(server: Server) -> int:
    """That the server has open."""
    names = []
    for file in Path(f"/proc/{server.process.pid}/fd").iterdir():
        with suppress(OSError):  # closed since
            names.append(os.readlink(file))
    return sum(name.startswith("socket:") for name in names)


async def send_endless(server: Server) -> int | None:
    """A body that never ends; None if the server hung up without an answer that could be read."""

    async def flood():
        yield b'{"model": "nano", "messages": [{"role": "user", "content": "'
        while True:
            yield b"a" * 65536

    async with httpx.AsyncClient(base_url=server.url, timeout=120, trust_env=False) as client:
        try:
            answer = await client.post(
                "/chat/completions", content=flood(), headers={"content-type": "application/json"}
            )
        except httpx.HTTPError:
            return None
        return answer.status_code


@pytest.mark.slow
def test_every_one_is_refused_and_the_server_lives(tmp_path):
    from hostile import EXAMPLES, requests

    root, outside = tmp_path / "root", tmp_path / "outside.png"
    root.mkdir()
    shutil.copy(EXAMPLES / "scene.png", root / "inside.png")
    shutil.copy(EXAMPLES / "sign.png", outside)
    listener = Listener()
    made = requests(root, outside, listener.port, NUMBER)
    options = [
        "--engine",
        "transformers",
        "--media-root",
        str(root),
        "--allow-host",
        f"localhost:{listener.port}",
    ]
    with served(*options, "--workers", "2", "--body-seconds", "3") as server:
        before = num_sockets(server)
        with slow_readers(server):
            stuck = num_sockets(server) - before
            with Watch(server) as watch:
                answers = asyncio.run(send_all(server, made))
            until = time.monotonic() + 60
            while num_sockets(server) > before and time.monotonic() < until:
                time.sleep(0.5)
            left = num_sockets(server) - before
        endless = [asyncio.run(send_endless(server)) for _ in range(3)]
        fine = asyncio.run(
            send_all(server, [type(made[0])("fine", f"file://{root}/inside.png") for _ in range(3)])
        )
    listener.close()
    print(Counter((one.kind, status) for one, (status, _) in zip(made, answers)))
    print(f"longest wait for /health: {watch.longest:.1f} s")
    wrong = [
        (one.kind, one.url[:90], status, text[:200])
        for one, (status, text) in zip(made, answers, strict=True)
        if not (400 <= status < 500 or (status == 200 and one.may_be_read))
    ]
    assert len(made) == NUMBER
    assert not wrong, wrong[:5]
    assert not any("root:" in text for _, text in answers)
    assert set(endless) <= {413, None}
    assert [status for status, _ in fine] == [200] * 3
    assert listener.num_connections == 0
    assert stuck >= NUM_SLOW_READERS - 1  # who asked whether the server is up may count before, and be gone
    assert left <= 0
    assert watch.longest < PATIENCE
