"""Requests as they are on the wire."""

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, NamedTuple

from fake_serving import Running

CHAT = "/v1/chat/completions"
QUESTION = json.dumps({"messages": [{"role": "user", "content": "hi"}]}).encode()
"""The body of the simplest request."""


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, Any]:
        """The error in OpenAI's shape, which every one must have."""
        error = json.loads(self.body)["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["message"].endswith(".")
        assert b"Traceback" not in self.body
        return error


def call(running: Running, method: str, path: str, body: Any = None, **headers: str) -> Answer:
    """One request on a connection of its own; a dict is sent as JSON. `X_y` is the header X-y."""
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=20)
    with closing(connection):
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if isinstance(body, dict):
            sent.setdefault("Content-Type", "application/json")
            body = json.dumps(body)
        connection.request(method, path, body, sent)
        answer = connection.getresponse()
        return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())


def ask(running: Running, question: str = "hi", **headers: str) -> Answer:
    """A question, asked as simply as can be."""
    return call(running, "POST", CHAT, {"messages": [{"role": "user", "content": question}]}, **headers)


@contextmanager
def wire(running: Running) -> Iterator[socket.socket]:
    """A bare connection."""
    with socket.create_connection(("127.0.0.1", running.port), timeout=20) as connection:
        yield connection


def read_answer(connection: socket.socket) -> Answer:
    """The next answer; the connection may stay open."""
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())


def read_all(connection: socket.socket) -> bytes:
    """What comes until the server closes."""
    data = b""
    while True:
        try:
            chunk = connection.recv(65536)
        except ConnectionResetError:
            return data
        if not chunk:
            return data
        data += chunk


def head(*lines: str, host: str = "localhost") -> bytes:
    """The head of a chat request with these lines more."""
    return "\r\n".join(
        [f"POST {CHAT} HTTP/1.1", f"Host: {host}", "Content-Type: application/json", *lines, "", ""]
    ).encode()
