"""`oryx serve` as a process of its own, and what its clients send."""

import base64
import io
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

START_SECONDS = 180


@dataclass(frozen=True)
class Server:
    """A server that runs."""

    url: str
    """With /v1."""
    process: subprocess.Popen

    @property
    def memory(self) -> int:
        """Resident bytes of the server and all processes below it; what they share counts for each."""
        return sum(_resident(pid) for pid in process_tree(self.process.pid))


@contextmanager
def served(*options: str, log: list[str] | None = None) -> Iterator[Server]:
    """`oryx serve` with these options on a free port of loopback, ended by SIGTERM.

    Args:
        log: takes what the server wrote on stderr, once it has ended.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "oryx", "serve", "--port", str(port), *options]
    with tempfile.TemporaryFile("w+") as file:  # a pipe that nobody reads would fill up and stop the server
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=file)
        try:
            _await_health(process, f"http://127.0.0.1:{port}/health", file)
            yield Server(f"http://127.0.0.1:{port}/v1", process)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
            if log is not None:
                file.seek(0)
                log.append(file.read())


def as_openai(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """The `messages` and `extra_body` of a user's message of `mixed_requests`, its media as data URLs."""
    content: list[dict[str, Any]] = []
    extra: dict[str, Any] = {}
    for part in parts:
        dials = {key: value for key, value in part.items() if key not in ("type", part["type"])}
        if part["type"] == "text":
            content.append(part)
        elif part["type"] == "image":
            content.append({"type": "image_url", "image_url": {"url": _picture(part["image"])}, **dials})
        elif part["type"] == "video":
            url = data_url("video/mp4", Path(part["video"]).read_bytes())
            content.append({"type": "video_url", "video_url": {"url": url}, **dials})
        else:
            pictures = ({"url": _picture(view)} for view in part["views"])
            content += [{"type": "image_url", "image_url": picture} for picture in pictures]
            extra = {"mm_processor_kwargs": {"views": True, **dials}}
    return {"messages": [{"role": "user", "content": content}], "extra_body": extra}


def with_line_breaks(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same message with a line break behind each visual, where the server puts it and `oryx ask` does."""
    out: list[dict[str, Any]] = []
    for part in parts:
        if part["type"] == "text" and out and out[-1]["type"] != "text":
            part = {"type": "text", "text": "\n" + part["text"]}
        out.append(part)
    return out


def _picture(image: Any) -> str:
    file = io.BytesIO()
    image.save(file, "PNG")
    return data_url("image/png", file.getvalue())


def data_url(kind: str, content: bytes) -> str:
    """A file inside an address."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _await_health(process: subprocess.Popen, address: str, log: IO[str]) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            log.seek(0)
            raise RuntimeError(f"the server ended: {log.read()[-2000:]}")
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"the server did not answer within {START_SECONDS} s.")


def process_tree(pid: int) -> list[int]:
    """A process and all below it."""
    children: list[int] = []
    for task in os.listdir(f"/proc/{pid}/task"):
        children += map(int, Path(f"/proc/{pid}/task/{task}/children").read_text().split())
    return [pid, *(below for child in children for below in process_tree(child))]


def _resident(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
