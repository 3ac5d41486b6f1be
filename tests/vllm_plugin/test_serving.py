"""`oryx serve` over vLLM, as its clients meet it."""

import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from served import process_tree, served

pytest.importorskip("fastapi")
openai = pytest.importorskip("openai")


@pytest.mark.slow
def test_many_clients_over_vllm():
    from serving_load import check_many_clients

    with served("--engine", "vllm", "--dtype", "float32", "--max-model-len", "4096") as server:
        check_many_clients(server)


def test_a_dial_means_the_same_everywhere():
    from serving_dials import check_dials

    with served("--engine", "vllm", "--max-model-len", "4096") as server:
        check_dials(server)


def test_an_idle_server_ends_without_a_word():
    with served("--engine", "vllm", "--max-model-len", "4096", log=(log := [])) as server:
        client = openai.OpenAI(base_url=server.url, api_key="none")
        for _ in range(6):
            messages = [{"role": "user", "content": "What is that?"}]
            client.chat.completions.create(model="nano", messages=messages, max_tokens=8)
    assert server.process.returncode == 0
    lines = "".join(log).splitlines()
    last = max(number for number, line in enumerate(lines) if "POST /v1/chat/completions 200" in line)
    assert lines[last + 1 :] == []


def test_a_signal_while_the_model_loads_ends_all_processes():
    command = [sys.executable, "-m", "oryx", "serve", "--port", "0", "--engine", "vllm"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not any("spawn_main" in command_line(pid) for pid in process_tree(process.pid)):
            assert process.poll() is None
            time.sleep(0.1)
        time.sleep(1)  # vLLM's process is importing now, or further
        pids = process_tree(process.pid)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
    until = time.monotonic() + 5
    while any(command_line(pid) for pid in pids):
        assert time.monotonic() < until, [command_line(pid) for pid in pids]
        time.sleep(0.1)


def command_line(pid):
    """Empty for a process that has ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text()
    return ""
