"""`oryx web` refuses what cannot be before it loads anything."""

from __future__ import annotations

import socket

import pytest

from oryx.cli import web as web_module
from oryx.cli.web import read_key
from oryx.errors import ConfigError


def test_the_extra_is_named_where_it_is_missing(run, monkeypatch):
    monkeypatch.setattr(web_module, "find_spec", lambda name: None if name == "gradio" else object())
    result = run("web")
    assert result.code == 2
    assert 'oryx web needs gradio, which pip install "oryx-mllm[web]" brings.' in result.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--host", "0.0.0.0"), "others can reach a page at 0.0.0.0: give --auth NAME:FILE"),
        (("--auth", "me"), "--auth is 'me'; it must be NAME:FILE"),
        (("--auth", "me:/nowhere/at/all"), "cannot be read"),
        (("--url", "localhost", "--port", "0"), "--url is 'localhost'; it must be as in"),
        (("--url", "http://127.0.0.1:9/v1", "--port", "0"), "http://127.0.0.1:9/v1 does not answer"),
        (("--url", "http://127.0.0.1:9", "--api-key-file", "/nowhere", "--port", "0"), "cannot be read"),
        (("--quantize", "int3"), "int3"),
        (("--port", "65536"), "65535"),
    ],
)
def test_mistakes_are_one_sentence(run, arguments, words):
    pytest.importorskip("httpx")
    pytest.importorskip("gradio")
    result = run("web", *arguments)
    assert result.code == 2
    assert words in " ".join(result.err.split())
    assert "Traceback" not in result.err


def test_a_port_in_use(run):
    pytest.importorskip("gradio")
    with socket.create_server(("127.0.0.1", 0)) as other:
        result = run("web", "--port", other.getsockname()[1])
    assert result.code == 2
    assert "--port 0 takes a free port" in result.err


def test_keys_are_read_from_files(tmp_path):
    file = tmp_path / "key"
    file.write_text("# mine\n\n secret \nother\n")
    assert read_key(file) == "secret"
    file.write_text("# none\n")
    with pytest.raises(ConfigError, match="holds no key"):
        read_key(file)
