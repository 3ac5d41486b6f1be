"""Two thousand requests that mean harm: each is answered with 4xx, and nothing else happens."""

import asyncio
import shutil
import socket
import threading
from collections import Counter

import pytest
from served import Server, served

pytest.importorskip("fastapi")
httpx = pytest.importorskip("httpx")

NUMBER, AT_A_TIME = 2000, 8
MAX_BODY_MB = 8


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
    from hostile import body, form

    places = asyncio.Semaphore(AT_A_TIME)
    async with httpx.AsyncClient(base_url=server.url, timeout=120, trust_env=False) as client:

        async def send(one) -> tuple[int, str]:
            async with places:
                content = {"json": body(one)} if one.upload is None else form(one)
                answer = await client.post("/chat/completions", **content)
                return answer.status_code, answer.text

        return await asyncio.gather(*(send(one) for one in made))


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
    with served(*options, "--workers", "2") as server:
        answers = asyncio.run(send_all(server, made))
        endless = [asyncio.run(send_endless(server)) for _ in range(3)]
        fine = asyncio.run(
            send_all(server, [type(made[0])("fine", f"file://{root}/inside.png") for _ in range(3)])
        )
    listener.close()
    print(Counter((one.kind, status) for one, (status, _) in zip(made, answers)))
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
