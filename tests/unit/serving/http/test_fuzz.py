"""Hundreds of bodies that no client would send: each is refused, none is an error of the server."""

import asyncio
import json
import random
from collections.abc import Iterator
from typing import Any

from fake_serving import FakeEngine, FakeLoader, FakePool

from oryx.serving.http.app import build_app
from oryx.serving.http.lifecycle import Lifecycle
from oryx.serving.http.service import Parts
from oryx.serving.http.settings import Access, Limits

PARTS = [
    {"type": "text", "text": "hi"},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
    {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AAAA"}, "compression": 4},
]
WHOLE = {
    "model": "nano",
    "messages": [{"role": "system", "content": "a"}, {"role": "user", "content": PARTS}],
    "mm_processor_kwargs": {"compression": 4, "budget": "2GB", "focus": "1-2", "views": False, "fps": 1.0},
    "max_tokens": 3,
    "temperature": 0.0,
    "stop": ["x"],
    "stream": False,
    "stream_options": {"include_usage": True},
}
WRONG = [
    *(-1, 3.7, 1e308, 10**30, True, "", "x", "\x00", "é" * 50, [], [[]], {}, {"a": {}}, [None], ["x"] * 50),
    *(
        {"url": 3},
        {"type": "text"},
        "attachment://x",
        "http://127.0.0.1/",
        "../../etc/passwd",
        "data:,",
        "file://",
    ),
]


def mutants(chance: random.Random, number: int) -> Iterator[Any]:
    """Copies of the whole request with one place of it wrong, gone or surplus."""

    def places(value: Any, path: tuple = ()) -> Iterator[tuple]:
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield (*path, key)
            if isinstance(inner, dict | list):
                yield from places(inner, (*path, key))

    every = list(places(WHOLE))
    for _ in range(number):
        copy = json.loads(json.dumps(WHOLE))
        *way, last = chance.choice(every)
        inner = copy
        for step in way:
            inner = inner[step]
        match chance.randrange(4):
            case 0 if isinstance(inner, dict):
                inner[f"{last}s"] = inner.pop(last)
            case 1 if isinstance(inner, dict):
                inner[chance.choice(["", "x", "url", "image", "type ", "__class__"])] = chance.choice(WRONG)
            case _:
                inner[last] = chance.choice(WRONG)
        yield copy


def bodies() -> Iterator[tuple[str, bytes]]:
    """(content type, body) of all."""
    chance = random.Random(0)
    whole = json.dumps(WHOLE).encode()
    for mutant in mutants(chance, 400):
        yield "application/json", json.dumps(mutant).encode()
    for _ in range(150):
        damaged = bytearray(whole)
        for _ in range(chance.randrange(1, 9)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        yield "application/json", bytes(damaged)
    for length in range(0, len(whole), 7):
        yield "application/json", whole[:length]
    form = (
        b'--cut\r\nContent-Disposition: form-data; name="request"\r\n\r\n' + whole + b"\r\n"
        b'--cut\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n'
        b"Content-Type: image/png\r\n\r\npicture\r\n--cut--\r\n"
    )
    for _ in range(150):
        damaged = bytearray(form)
        for _ in range(chance.randrange(1, 30)):
            damaged[chance.randrange(len(damaged))] = chance.choice(b"\r\n-;=\"'\x00\xff x{}[]")
        yield "multipart/form-data; boundary=cut", bytes(damaged)
    for kind in ("", "x", "application/json; charset=x", "multipart/form-data; boundary=\xff", "é/ü", ";;;"):
        for body in (b"", b"x", b"{}", b"\x00" * 100, b"--\r\n\r\n--"):
            yield kind, body


async def post(app: Any, kind: str, body: bytes) -> tuple[int, bytes]:
    """One request without a network. The client sends its body in parts and stays."""
    parts = [body[start : start + 300] for start in range(0, len(body), 300)] or [b""]
    messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    messages[-1]["more_body"] = False
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop(0)
        await asyncio.sleep(3600)
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"content-type", kind.encode("latin-1", "replace"))]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/v1/chat/completions",
        "raw_path": b"/v1/chat/completions",
        "root_path": "",
        "query_string": b"",
        "headers": [*headers, (b"content-length", str(len(body)).encode())],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "state": {},
    }
    await app(scope, receive, send)
    assert sent[-1].get("more_body", False) is False
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent)


def test_what_cannot_be_read_is_refused_and_never_a_failure():
    async def scene() -> dict[int, int]:
        lifecycle = Lifecycle()
        lifecycle.ready()
        engine = FakeEngine()
        parts = Parts(engine, FakePool(), FakeLoader(), "nano")
        app = build_app(parts, Limits(), Access(), lifecycle)
        counts: dict[int, int] = {}
        for kind, body in bodies():
            status, answer = await asyncio.wait_for(post(app, kind, body), 10)
            counts[status] = counts.get(status, 0) + 1
            told = json.loads(answer)
            if status != 200:  # some mutants are right: a text may be any text
                assert 400 <= status < 500, (status, kind, body)
                error = told["error"]
                assert set(error) == {"message", "type", "param", "code"}
                assert error["message"].endswith("."), error
                assert len(error["message"]) < 600, error
                assert "Traceback" not in error["message"]
        assert not engine.running
        assert lifecycle.num_active == 0
        return counts

    counts = asyncio.run(scene())
    assert sum(counts.values()) > 800
    assert counts[400] > 500
    assert counts[415] > 10
