"""A server that speaks as much of OpenAI's chat completions as a client needs, and keeps what it heard."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class FakeServer(ThreadingHTTPServer):
    """Says `words`, one after the other."""

    daemon_threads = True

    def __init__(self, words: list[str], pause: float, key: str | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.words, self.pause, self.key = words, pause, key
        self.models = ["tiny"]
        self.error: tuple[int, Any] | None = None
        """Status and body of the answer to every chat request, if any."""
        self.is_cut = False
        """The stream just ends behind the words."""
        self.authorizations: list[str | None] = []
        self.requests: list[dict[str, Any]] = []
        self.num_said = 0
        self.has_left = threading.Event()
        """A client closed its connection before the end."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: FakeServer

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        if self._is_refused():
            return
        self._send(200, {"object": "list", "data": [{"id": name} for name in self.server.models]})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self._is_refused():
            return
        self.server.requests.append(json.loads(body))
        if self.server.error is not None:
            self._send(*self.server.error)
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        try:
            self._event({"choices": [{"delta": {"role": "assistant", "content": ""}, "finish_reason": None}]})
            for word in self.server.words:
                time.sleep(self.server.pause)
                self._event({"choices": [{"delta": {"content": word}, "finish_reason": None}]})
                self.server.num_said += 1
            if self.server.is_cut:
                return
            self._event({"choices": [{"delta": {}, "finish_reason": "stop"}]})
            details = {"visual_tokens": 7, "cached_tokens": 3}
            usage = {"prompt_tokens": 11, "completion_tokens": 5, "prompt_tokens_details": details}
            self._event({"choices": [], "usage": usage})
            self.wfile.write(b"data: [DONE]\n\n")
        except OSError:
            self.server.has_left.set()

    def _is_refused(self) -> bool:
        self.server.authorizations.append(self.headers.get("Authorization"))
        if self.server.key in (None, self.headers.get("Authorization", "").removeprefix("Bearer ")):
            return False
        self._send(401, {"error": {"message": "the API key is wrong.", "type": "invalid_request_error"}})
        return True

    def _event(self, value: Any) -> None:
        self.wfile.write(b"data: " + json.dumps(value).encode() + b"\n\n")
        self.wfile.flush()

    def _send(self, status: int, value: Any) -> None:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def fake_openai(
    words: tuple[str, ...] = ("red", " circle"), pause: float = 0.0, key: str | None = None
) -> Iterator[FakeServer]:
    """The server, which ends with the block.

    Args:
        pause: seconds before each word.
        key: the one that opens it.
    """
    server = FakeServer(list(words), pause, key)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
