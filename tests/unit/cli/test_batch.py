"""`oryx batch`: what is wrong with the command is said at once, and what answers depend on is kept."""

import json
import re
import signal
import subprocess
import sys

import pytest

from oryx.cli import batch as command
from oryx.cli.main import main
from oryx.serving.batch.job import Interrupted, Outcome


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text('{"id": 1, "question": "x"}\n')
    return path


@pytest.fixture
def calls(monkeypatch):
    """What `run_batch` was called with; it answers at once."""
    seen = []

    def run(batch, build_workers, watcher, leave):
        seen.append((batch, build_workers))
        return Outcome(1000, 3, 10)

    monkeypatch.setattr("oryx.serving.batch.job.run_batch", run)
    return seen


def failure(capsys, *arguments):
    assert main(["batch", *map(str, arguments)]) == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--engine", "tpu"], "--engine is 'tpu'; allowed: auto, vllm, transformers, ray"),
        (["--shard", "0/3"], "must be K/N with K from 1 to N"),
        (["--compression", "3"], "compression 3 is not one of the ratios 1, 2, 4, 8, 16"),
        (["--fps", "-1"], "a number above 0 is needed"),
        (["--budget", "apples"], "budget"),
        (["--quantize", "int3"], "int3"),
        (["--media-root", "nowhere"], "--media-root nowhere is no folder"),
        (["--vllm", "a=1", "--engine", "transformers"], "--vllm is of the vLLM engine"),
        (["--model", "no/such/model"], "is neither nano"),
        (["--max-tokens", "0"], "--max-tokens"),
    ],
)
def test_a_wrong_option_is_a_sentence(source, tmp_path, capsys, options, sentence):
    assert sentence in failure(capsys, source, tmp_path / "out.jsonl", *options)
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_wrong_files_are_a_sentence(source, tmp_path, capsys):
    assert "must end with .jsonl" in failure(capsys, source, tmp_path / "out.csv")
    assert "does not exist" in failure(capsys, tmp_path / "no.jsonl", tmp_path / "out.jsonl")
    assert "is the input" in failure(capsys, source, source)


def test_engines_that_are_not_installed_are_told(source, tmp_path, capsys, monkeypatch):
    for module in ("engines.choosing", "batch.wiring"):
        monkeypatch.setattr(f"oryx.serving.{module}.find_spec", lambda name: None)
    out = tmp_path / "out.jsonl"
    assert "vLLM, which is not installed" in failure(capsys, source, out, "--engine", "vllm")
    assert 'pip install "oryx-mllm[ray]"' in failure(capsys, source, out, "--engine", "ray")


@pytest.mark.parametrize("name", ["foo", "ray"])
def test_an_actor_s_engine_is_named_by_its_own_option(source, tmp_path, capsys, monkeypatch, name):
    monkeypatch.setattr("oryx.serving.batch.wiring.find_spec", lambda name: object())  # as if Ray were there
    sentence = failure(capsys, source, tmp_path / "out.jsonl", "--engine", "ray", "--ray-engine", name)
    assert f"--ray-engine is {name!r}; allowed: auto, vllm, transformers." in sentence


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_model_loads_ends_it_at_once(source, tmp_path, number):
    program = (
        "import multiprocessing, os, sys, threading, time\n"
        "from oryx.cli.main import main\n"
        "from oryx.serving.engines.transformers import TransformersEngine\n"
        "async def start(self):\n"
        "    import asyncio\n"
        "    child = multiprocessing.get_context('spawn').Process(target=time.sleep, args=(60,))\n"
        "    child.start()\n"
        "    print('loading', flush=True)\n"
        "    await asyncio.to_thread(time.sleep, 60)\n"
        "TransformersEngine.start = start\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    command = [
        "batch",
        str(source),
        str(tmp_path / "out.jsonl"),
        "--engine",
        "transformers",
        "--workers",
        "1",
    ]
    with subprocess.Popen(
        [sys.executable, "-c", program, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "loading\n"
        process.send_signal(number)
        _, said = process.communicate(timeout=30)  # the child has its pipes, too, and has ended
    assert process.returncode == 130
    assert said.splitlines()[-1].startswith("oryx: stopped; what is answered is kept in")


def test_options_of_the_other_engine_are_refused(source, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("oryx.serving.engines.choosing.find_spec", lambda name: True)
    sentence = failure(capsys, source, tmp_path / "out.jsonl", "--device", "cpu")
    assert "--device is of the transformers engine" in sentence


def test_what_answers_depend_on_is_a_setting(source, tmp_path, calls, capsys, monkeypatch):
    monkeypatch.setattr("oryx.serving.batch.wiring.find_spec", lambda name: object())  # as if Ray were there
    out = tmp_path / "out.jsonl"
    base = ["batch", str(source), str(out), "--engine", "transformers"]
    assert main(base) == 0
    assert capsys.readouterr().out == f"1,000 rows are in {out}, 3 of them errors (10 now, 0 a second).\n"
    assert main([*base, "--concurrency", "3", "--workers", "2", "--max-errors", "5", "--retry-errors"]) == 0
    (first, _), (second, _) = calls
    assert dict(first.settings) == dict(second.settings)
    assert (second.max_errors, second.retry_errors) == (5, True)
    for options in (
        ["--compression", "4"],
        ["--budget", "100"],
        ["--views"],
        ["--prompt-style", "eval"],
        ["--max-tokens", "5"],
        ["--temperature", "0.5"],
        ["--seed", "1"],
        ["--dtype", "bfloat16"],
        ["--device", "cpu"],
        ["--quantize", "int8"],
        ["--media-root", str(tmp_path.parent)],
        ["--media-root", str(tmp_path)],  # where relative paths start without it, too
        ["--ignore", "compression"],
        ["--engine", "ray", "--ray-engine", "transformers"],
    ):
        assert main([*base, *options]) == 0
        settings = json.loads(json.dumps(calls[-1][0].settings))  # as the journal keeps them
        assert settings != json.loads(json.dumps(first.settings)), options
    assert main([*base, "--device", "cuda:1"]) == main([*base, "--device", "cuda:0"]) == 0
    assert calls[-1][0].settings == calls[-2][0].settings


def test_a_model_with_other_weights_is_another(tmp_path):
    from oryx.serving.batch.identity import model_identity

    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    weights = folder / "model.safetensors"
    weights.write_bytes(bytes(3 * 2**20))
    before = model_identity(folder)
    (folder / "trainer.log").write_text("not the model's")
    assert model_identity(folder) == before
    for place in (10, 3 * 2**19 + 5, 3 * 2**20 - 1):
        changed = bytearray(3 * 2**20)
        changed[place] = 1
        weights.write_bytes(changed)
        assert model_identity(folder) != before
    weights.write_bytes(bytes(3 * 2**20 + 1))
    assert model_identity(folder) != before
    weights.write_bytes(bytes(3 * 2**20))
    assert model_identity(folder) == before
    assert model_identity(weights) != before


def test_arguments_of_vllm_are_read():
    from oryx.errors import ConfigError
    from oryx.serving.batch.wiring import read_arguments

    assert read_arguments(["tensor_parallel_size=2", "--enforce-eager=true", "a=b=c"]) == {
        "tensor_parallel_size": 2,
        "enforce_eager": True,
        "a": "b=c",
    }
    with pytest.raises(ConfigError, match="must be NAME=VALUE"):
        read_arguments(["tensor_parallel_size"])


def test_a_stopped_run_ends_with_130(source, tmp_path, capsys, monkeypatch):
    def stop(*_):
        raise Interrupted

    monkeypatch.setattr("oryx.serving.batch.job.run_batch", stop)
    assert main(["batch", str(source), str(tmp_path / "out.jsonl"), "--engine", "transformers"]) == 130
    assert "oryx: stopped; what is answered is kept in" in capsys.readouterr().err
    assert command.INTERRUPTED == 130


def test_help_imports_no_torch():
    program = (
        "import sys; from oryx.cli.main import main; code = main(['batch', '--help'])\n"
        "sys.exit(code or any(name in sys.modules for name in ('torch', 'transformers', 'ray', 'pyarrow')))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0
    assert "oryx batch" in re.sub(r"\s+", " ", run.stdout)
