"""A judge that grades by what the question says: a stand-in for any server with OpenAI's chat completions."""

import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Judge(ThreadingHTTPServer):
    """Questions hold what it does: GRADE 3, RAMBLE, or FAIL."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.heard = []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/v1/chat/completions"


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = body["messages"][-1]["content"]
        self.server.heard.append({"body": body, "key": self.headers["Authorization"]})
        if "FAIL" in text:
            self._send(400, b"no")
            return
        grade = re.search(r"GRADE (\d)", text)
        reply = "I like it: at least a 3." if "RAMBLE" in text or not grade else grade[1]
        if "Python dictionary" in text and "RAMBLE" not in text:
            reply = f"{{'score': {reply}}}"
        message = {"message": {"role": "assistant", "content": reply}}
        self._send(200, json.dumps({"model": "judge", "choices": [message]}).encode())

    def _send(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def fake_judge():
    """The server, which ends with the block."""
    server = Judge()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
