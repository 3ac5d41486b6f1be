"""Who reaches the page, and what it serves."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

pytest.importorskip("gradio")

from starlette.testclient import TestClient

from oryx.errors import ConfigError
from oryx.web import server as server_module
from oryx.web.examples import EXAMPLES, copy_examples
from oryx.web.handlers import Handlers
from oryx.web.planning import Limits
from oryx.web.server import bind, build_app, is_loopback, make_check, read_login, upload_folder


@pytest.fixture
def folder():
    with upload_folder() as path:
        yield path


@pytest.fixture
def client(asker, plans, folder):
    app = build_app(Handlers(asker, plans, Limits()), folder, max_upload=1000)
    with TestClient(app, base_url="http://127.0.0.1") as client:
        yield client


def test_the_page_comes_without_addresses_of_others(client):
    page = client.get("/").text
    assert "Oryx" in page
    for part in ("/theme.css", "/config"):
        text = client.get(part).text
        assert "googleapis" not in text
        assert "http://" not in text.replace("http://127.0.0.1", "").replace("http://www.w3.org", "")
    config = client.get("/config").json()
    assert config["analytics_enabled"] is False
    assert config["run_history"] is False


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=pyproject.toml",
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file=../../etc/passwd",
        "/gradio_api/file=http://127.0.0.1:1/",
        "/gradio_api/file=https:/example.org/",
        "/gradio_api/proxy=http://127.0.0.1:1/",
        "/gradio_api/info",
        "/gradio_api/runs",
        "/gradio_api/call/answer",
        "/docs",
        "/openapi.json",
    ],
)
def test_nothing_else_is_served(client, path):
    assert client.get(path).status_code in (403, 404, 405)


def test_uploads_are_limited(client):
    def upload(size):
        return client.post("/gradio_api/upload", files={"files": ("a.png", b"x" * size)})

    small = upload(900)
    assert small.status_code == 200
    assert client.get(f"/gradio_api/file={small.json()[0]}").status_code == 200
    assert upload(2000).status_code == 413


def test_other_names_of_this_machine_do_not_get_in(client):
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 400
    assert client.get("/", headers={"Host": "localhost:7860"}).status_code == 200


def test_a_login_opens_the_page(asker, plans, folder, monkeypatch):
    monkeypatch.setattr(server_module, "LOGIN_DELAY", 0.01)
    app = build_app(Handlers(asker, plans, Limits()), folder, "0.0.0.0", ("me", "secret"))
    with TestClient(app, base_url="http://10.0.0.1") as client:
        assert client.get("/config").status_code == 401
        assert client.post("/gradio_api/upload", files={"files": ("a.png", b"x")}).status_code == 401
        assert client.post("/login", data={"username": "me", "password": "guess"}).status_code == 400
        assert client.post("/login", data={"username": "me", "password": "secret"}).status_code == 200
        assert client.get("/config").status_code == 200


def test_a_wrong_password_takes_its_time(monkeypatch):
    monkeypatch.setattr(server_module, "LOGIN_DELAY", 0.05)
    check = make_check("me", "pässword")
    assert asyncio.run(check("me", "pässword"))
    for wrong in (("me", "x"), ("you", "pässword"), ("", "")):
        began = time.perf_counter()
        assert not asyncio.run(check(*wrong))
        assert time.perf_counter() - began > 0.04


def test_logins(tmp_path):
    file = tmp_path / "password"
    file.write_text("secret\nmore\n")
    assert read_login(f"me:{file}", "0.0.0.0", False) == ("me", "secret")
    assert read_login(None, "127.0.0.1", False) is None
    assert read_login(None, "0.0.0.0", True) is None
    for given, host, no_auth, words in (
        (None, "0.0.0.0", False, "others can reach a page at 0.0.0.0"),
        (None, "example.org", False, "others can reach"),
        ("me", "127.0.0.1", False, "must be NAME:FILE"),
        (f"me:{tmp_path / 'none'}", "127.0.0.1", False, "cannot be read"),
        (f"me:{file}", "0.0.0.0", True, "exclude each other"),
    ):
        with pytest.raises(ConfigError, match=words):
            read_login(given, host, no_auth)
    file.write_text("\n")
    with pytest.raises(ConfigError, match="is empty"):
        read_login(f"me:{file}", "0.0.0.0", False)


def test_addresses():
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "127.1.2.3", "::1")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "example.org")))
    with bind("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(ConfigError, match=f"cannot listen at 127.0.0.1:{port}"):
            bind("127.0.0.1", port)
        assert first.family == socket.AF_INET


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("is_asked", [False, True])
def test_a_signal_ends_it_with_0_whether_a_page_was_asked_for_or_not(number, is_asked):
    program = (
        "import sys\nfrom oryx.cli import main as command\nfrom oryx.web.server import bind, run\n"
        "async def app(scope, receive, send):\n"
        "    await send({'type': 'http.response.start', 'status': 204, 'headers': []})\n"
        "    await send({'type': 'http.response.body', 'body': b''})\n"
        "def page():\n"
        "    listener = bind('127.0.0.1', 0)\n"
        "    run(app, listener, lambda: print(listener.getsockname()[1], flush=True))\n"
        "command.app.command('page')(page)\n"
        "sys.exit(command.main(['page']))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        port = process.stdout.readline().strip()
        if is_asked:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
                assert answer.status == 204
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (0, "")


def test_the_folder_is_private_and_goes(monkeypatch):
    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
    with upload_folder() as path:
        assert path.stat().st_mode & 0o077 == 0
        assert len(copy_examples(path)) == len(EXAMPLES)
    assert not path.exists()
    assert "GRADIO_TEMP_DIR" not in server_module.os.environ


def test_examples_do_not_age_as_uploads_do(asker, folder):
    from gradio.processing_utils import move_files_to_cache
    from gradio.route_utils import delete_files_created_by_app

    from oryx.web.page import build_page

    examples = copy_examples(folder / "examples")
    page = build_page(Handlers(asker, None, Limits()), examples)
    (files,) = (block for block in page.blocks.values() if block.elem_id == "files")
    upload = folder / "upload.png"
    upload.write_bytes(b"x")
    for paths in ([*examples[0][1]], [str(upload)]):  # an example is clicked, a file is shown
        move_files_to_cache(files.postprocess(paths).model_dump(), files, postprocess=True)
        files.temp_files.update(paths)
    delete_files_created_by_app(page, -1)
    assert not upload.exists()
    assert Path(examples[0][1][0]).exists()


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.label)
def test_examples_are_answered_right(handlers_of_nano, folder, example):
    files = {known.label: paths for known, paths in copy_examples(folder)}[example.label]
    assert handlers_of_nano(files, example) == example.answer


@pytest.fixture
def handlers_of_nano(asker):
    from threading import Event

    from oryx.web.planning import Media
    from oryx.web.replies import Request
    from oryx.web.settings import Settings

    def answer(files, example):
        async def run():
            request = Request("x/A", Media(files, example.as_views), Settings(), example.question)
            return [reply async for reply in asker.ask(request, Event())][-1].text

        return asyncio.run(run())

    return answer
