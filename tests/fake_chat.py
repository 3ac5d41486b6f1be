"""An endpoint of the OpenAI chat protocol, unstreamed, that does what a test wants."""

import http.server
import json
import threading
from collections.abc import Callable
from typing import Any


class FakeServer:
    """An endpoint whose answer to request k is `script(k, body)`: text, code, or (code, headers, bytes)."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.models: Any = {"data": [{"id": "seer"}]}
        self.refusals: list[tuple[int, dict[str, str], bytes]] = []
        """What its list of models is answered with first, as (code, headers, bytes)."""
        self.script: Callable[[int, dict[str, Any]], Any] = lambda number, _: f"A picture, number {number}."
        self.release = threading.Event()
        """Set when the test is over: what waits for it stops waiting."""
        self._lock = threading.Lock()
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                pass

            def do_GET(self) -> None:
                with owner._lock:
                    owner.headers.append(dict(self.headers))
                    refusal = owner.refusals.pop(0) if owner.refusals else None
                self.send(*(refusal or (200, {}, json.dumps(owner.models).encode())))

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with owner._lock:
                    number = len(owner.bodies)
                    owner.bodies.append({"path": self.path, **body})
                    owner.headers.append(dict(self.headers))
                said = owner.script(number, body)
                if isinstance(said, str):
                    said = {"choices": [{"message": {"content": said}, "finish_reason": "stop"}]}
                if isinstance(said, dict):
                    said = (200, {}, json.dumps(said).encode())
                if isinstance(said, int):
                    said = (said, {}, json.dumps({"error": {"message": "go away"}}).encode())
                self.send(*said)

            def send(self, code: int, headers: dict[str, str], content: bytes) -> None:
                try:
                    self.send_response(code)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)
                except OSError:  # the client went away
                    pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()
