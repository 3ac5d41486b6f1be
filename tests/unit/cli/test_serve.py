"""`oryx serve`: what is refused before a model is loaded, and what a person sees."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from oryx.cli import serve
from oryx.cli.serve import base_url, example, read_keys
from oryx.errors import ConfigError
from oryx.serving.http.server import bind

TESTS = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--host", "0.0.0.0"], "--no-auth"),
        (["--host", "0.0.0.0", "--api-key", "a key"], "printable ASCII"),
        (["--api-key-file", "missing.txt"], "missing.txt cannot be read"),
        (["--allow-origin", "example.org"], "--allow-origin"),
        (["--max-body", "large"], "--max-body is 'large'"),
        (["--max-queue", "-1"], "--max-queue"),
        (["--drain-seconds", "nan"], "--drain-seconds"),
        (["--port", "70000"], "--port"),
        (["--port", "0", "--engine", "sglang"], "auto, vllm, transformers"),
        (["--port", "0", "--engine", "transformers", "--max-reqests", "3"], "did you mean '--max-requests'"),
    ],
)
def test_what_is_refused(refused, arguments, words):
    assert words in refused("serve", *arguments)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--media-root", "missing"], "the media root missing is no folder"),
        (["--allow-host", "http://images.example.com/a"], "give the host alone, without http:// or a path"),
    ],
)
def test_what_is_refused_before_an_engine_is_imported(refused, monkeypatch, arguments, words):
    monkeypatch.setattr("oryx.serving.http.wiring.build_engine", lambda _: pytest.fail("it was imported"))
    assert words in refused("serve", "--port", "0", *arguments)


def test_vllm_that_is_not_installed(refused, monkeypatch):
    monkeypatch.setattr("oryx.serving.engines.choosing.find_spec", lambda name: None)
    assert "pip install oryx-mllm[vllm]" in refused("serve", "--port", "0", "--engine", "vllm")


def test_options_of_vllm_without_vllm_are_told_so_at_once(refused, monkeypatch):
    monkeypatch.setattr("oryx.serving.engines.choosing.find_spec", lambda name: None)
    said = refused("serve", "--port", "0", "--tensor-parallel-size", "2")
    assert said.strip() == (
        "oryx: oryx serve has no option --tensor-parallel-size. Options of vLLM need vLLM, which is not "
        "installed (pip install oryx-mllm[vllm])."
    )
    assert "--revision cannot be served" in refused("serve", "--port", "0", "--revision", "main")


def test_a_port_that_is_taken(refused):
    with bind("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        assert f"port {port} on 127.0.0.1 is taken" in refused("serve", "--port", str(port))


def test_the_extra_that_is_not_installed(refused, monkeypatch):
    monkeypatch.setattr(serve, "find_spec", lambda name: None if name == "fastapi" else object())
    assert 'fastapi, which pip install "oryx-mllm[serve]"' in refused("serve")


def test_help_imports_no_server():
    code = (
        "import sys; from oryx.cli.main import main; main(['serve', '--help']); "
        "print([name for name in ('torch', 'fastapi', 'uvicorn') if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == "[]\n"
    assert "--media-root" in done.stdout


def test_keys_of_a_file(tmp_path):
    file = tmp_path / "keys"
    file.write_text("# of the first team\nfirst-key\n\n  second-key  \n")
    assert read_keys(file) == ["first-key", "second-key"]
    file.write_text("# none\n")
    with pytest.raises(ConfigError, match="holds no key"):
        read_keys(file)
    file.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="no UTF-8"):
        read_keys(file)


def test_addresses_for_clients():
    assert base_url("0.0.0.0", 80) == "http://127.0.0.1:80"
    assert base_url("::", 80) == "http://[::1]:80"
    assert base_url("example.org", 80) == "http://example.org:80"


def test_the_example_shows_no_key():
    assert "YOUR_KEY" in example("http://a", True, None)
    assert "keys.txt" in example("http://a", True, Path("keys.txt"))
    assert "Authorization" not in example("http://a", False, None)


def test_the_printed_line_works_and_a_signal_ends_it_all(tmp_path):
    keys = tmp_path / "my keys"
    keys.write_text("# comment\nthe-secret-key\n")
    arguments = ["serve", "--port", "0", "--api-key-file", str(keys)]
    code = (
        "import sys; from fake_serving import *; from oryx.serving.http import wiring\n"
        "wiring.build_parts = lambda *_: Parts(FakeEngine(), FakePool(), FakeLoader(), 'nano')\n"
        f"from oryx.cli.main import main; sys.exit(main({arguments!r}))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=TESTS, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    first, _, line, _ = [process.stdout.readline() for _ in range(4)]
    assert first.startswith("nano answers at http://127.0.0.1:")
    done = subprocess.run(["bash", "-c", f"{line.strip()} -sS"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["choices"][0]["message"]["content"] == "What color is the square?"
    process.send_signal(signal.SIGTERM)
    out, errors = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, "")
    lines = errors.splitlines()
    assert lines[:1] == ["oryx: loading nano (fake)"]
    assert [line.partition(" ")[2].rpartition(",")[0] for line in lines[1:]] == [
        "POST /v1/chat/completions 200 35 prompt tokens (10 visual), 5 generated"
    ]
    assert "secret" not in out + errors
