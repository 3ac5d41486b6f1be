"""Bodies that mean harm before any medium of theirs is looked at; all of these go on for ever."""

import itertools
import json
from collections.abc import Iterator
from typing import Any


def floods() -> Iterator[tuple[str, bytes]]:
    """JSON of few bytes that becomes much else."""

    def asking(content: Any, **more: Any) -> dict[str, Any]:
        return {"messages": [{"role": "user", "content": content}], **more}

    picture = {"type": "image_url", "image_url": "data:image/png;base64,AAAA"}
    nested: list[Any] = []
    for _ in range(500):
        nested = [nested]
    floods = [
        asking([""] * 150_000),
        asking([1] * 150_000),
        asking([{}] * 500_000),
        asking([picture] * 20_000),
        asking([{**picture, "compression": [[]] * 500_000}]),
        asking([{**picture, "focus": ["1-2"] * 100_000}]),
        asking([{**picture, **{f"dial{number}": 1 for number in range(100_000)}}]),
        asking("hi", mm_processor_kwargs={"compression": nested}),
        asking("hi", mm_processor_kwargs={f"dial{number}": 1 for number in range(100_000)}),
        asking("hi", stop=["x"] * 500_000),
        asking("hi", **{f"parameter{number}": 1 for number in range(100_000)}),
        {"messages": [[]] * 500_000},
        {"messages": [{}] * 90_000},
        {"messages": [{"role": "user", "content": [1] * 1000}] * 500},
    ]
    whole = [json.dumps(flood, separators=(",", ":")).encode() for flood in floods]
    while True:
        for text in [*whole, b"[" * 2**20, b'{"a":' * 2**18, b'{"n": ' + b"9" * 2**20 + b"}"]:
            yield "application/json", text


def charsets() -> Iterator[tuple[str, bytes]]:
    """Forms in codecs that take quadratic time, expand, or are none."""
    codecs = ["punycode", "idna", "unicode_escape", "utf-7", "utf-16", "base64_codec", "zlib_codec", "rot13"]
    codecs += ["undefined", "mbcs", "x" * 1000, "utf-8,punycode"]
    for form in itertools.cycle(("name", "value")):
        long = "a" * 2**19
        name, value = (long, "hi") if form == "name" else ("question", long)
        body = f'--cut\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n--cut--\r\n'
        for codec in codecs:
            kind = f"multipart/form-data; boundary=cut; charset={codec}"
            yield kind, body.encode()


def _head(*lines: str, version: str = "1.1") -> bytes:
    first = f"POST /v1/chat/completions HTTP/{version}"
    return "\r\n".join([first, "Host: localhost", "Content-Type: application/json", *lines, "", ""]).encode()


def framings() -> Iterator[bytes]:
    """Bodies that end in two places, with another request where the server might not look."""
    chunked = "Transfer-Encoding: chunked"
    heads = [
        _head("Content-Length: 4", chunked),
        _head(chunked, "Content-Length: 4"),
        _head("Connection: keep-alive", chunked, version="1.0"),
        _head("Content-Length: 4", "Content-Length: 5"),
        _head("Content-Length: 4, 5"),
        _head("Content-Length: +4"),
        _head("Content-Length: 0x4"),
        _head("Content-Length: -1"),
        _head("Content-Length : 4"),
        _head("Transfer-Encoding: chunked, identity"),
        _head("Transfer-Encoding: xchunked"),
        _head(chunked, chunked),
        _head("X: a\0b"),
    ]
    while True:
        for head in heads:
            yield head + b"0\r\n\r\nGET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"


def trickles() -> Iterator[bytes]:
    """Bodies that never become whole."""
    begun = b'{"messages": [{"role": "user", "content": "'
    heads = [
        _head(f"Content-Length: {2**20}") + begun,
        _head(f"Content-Length: {2**16}") + begun,
        _head("Content-Length: 200"),
        _head("Transfer-Encoding: chunked") + b"100000\r\n" + begun,
    ]
    yield from itertools.cycle(heads)
