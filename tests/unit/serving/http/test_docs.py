"""The examples of docs/serving.md and the README are run as they stand there."""

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from fake_serving import serving
from typer.main import get_command

from oryx.cli.main import app
from oryx.serving.http.dials import REQUEST_DIALS

ROOT = Path(__file__).parents[4]
DOCS = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:8000"


@pytest.fixture(scope="module")
def running():
    with serving() as server:
        yield server


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", DOCS, re.DOTALL | re.MULTILINE)


def test_the_python_example(running, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    (example,) = blocks("python")
    exec(compile(example.replace(ADDRESS, running.url), "serving.md", "exec"), {})
    question = "Where is the red circle?"
    assert capsys.readouterr().out.splitlines() == [question, f"{len(question) + 10} 10", question]
    assert running.pool.jobs[-2].dials == {"compression": 4}


CURL_LINES = [*blocks("bash"), next(line for line in README.splitlines() if line.startswith("curl http"))]


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.parametrize("line", CURL_LINES, ids=range(len(CURL_LINES)))
def test_the_curl_examples(running, line):
    command = line.strip().replace(ADDRESS, running.url).replace("curl ", "curl -sS ", 1)
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True, cwd=ROOT)
    answer = json.loads(done.stdout)
    assert answer["choices"][0]["message"]["content"].endswith("?"), answer
    assert answer["usage"]["prompt_tokens_details"]["visual_tokens"] > 0


def test_an_image_gets_what_installing_needs_and_nothing_else():
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in lines
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {"pyproject.toml", "constraints.txt", project["project"]["readme"], "src"}
    needed |= {*project["project"]["license-files"], *wheel["force-include"]}
    assert {line[1:] for line in lines if line.startswith("!")} == needed
    assert all((ROOT / name).exists() for name in needed)


def test_every_dial_and_every_option_there_is(running):
    rows = "\n".join(line for line in DOCS.splitlines() if line.startswith("| `"))
    for dial in REQUEST_DIALS:
        assert f"`{dial}`" in rows
    command = get_command(app).commands["serve"]  # type: ignore[attr-defined]
    known = {name for parameter in command.params for name in parameter.opts}
    for option in re.findall(r"`(--[a-z-]+)", rows):
        assert option in known
    for metric in re.findall(r"`(oryx_\w+)", DOCS):
        text = running_metrics(running)
        assert f"# TYPE {metric.removesuffix('_total')}" in text or f"# TYPE {metric}" in text


def running_metrics(running) -> str:
    from http_calls import call

    return call(running, "GET", "/metrics").body.decode()
