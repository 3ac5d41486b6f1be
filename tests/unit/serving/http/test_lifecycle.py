"""How a server starts, ends, and dies."""

import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import openai
import pytest
from fake_serving import FakeEngine, Running, eventually, serving
from http_calls import Answer, ask, call

from oryx.errors import CheckpointError, ConfigError
from oryx.serving.http.server import INTERRUPTED, bind
from oryx.serving.http.settings import Limits

TESTS = Path(__file__).parents[3]


class Later:
    """A call in a thread."""

    def __init__(self, running: Running, question: str) -> None:
        self.answers: list[Answer] = []
        self.thread = threading.Thread(
            target=lambda: self.answers.append(ask(running, question)), daemon=True
        )
        self.thread.start()

    @property
    def answer(self) -> Answer:
        self.thread.join(10)
        return self.answers[0]


def test_while_the_model_loads_the_server_says_so():
    engine = FakeEngine()
    engine.may_start.clear()
    with serving(engine=engine, waits=False) as running:
        answer = call(running, "GET", "/health")
        assert (answer.status, answer.error["code"]) == (503, "server_starting")
        answer = ask(running)
        assert (answer.status, answer.error["code"]) == (503, "server_starting")
        assert int(answer.headers["retry-after"]) > 0
        assert call(running, "GET", "/metrics").status == 200
        engine.may_start.set()
        eventually(lambda: call(running, "GET", "/health").status == 200)
        assert json.loads(call(running, "GET", "/health").body) == {
            "status": "ready",
            "model": "nano",
            "engine": "fake",
        }
        assert call(running, "HEAD", "/health").status == 200


def test_an_engine_that_cannot_start_ends_the_server_with_its_error():
    engine = FakeEngine(start_error=CheckpointError("there is no such model."))
    with serving(engine=engine, waits=False) as running:
        running.thread.join(10)
        (error,) = running.result
        assert isinstance(error, CheckpointError)
        assert str(error) == "there is no such model."
        assert engine.has_stopped
        assert running.pool.has_stopped


def test_the_end_may_come_while_the_model_loads():
    engine = FakeEngine()
    engine.may_start.clear()
    with serving(engine=engine, waits=False) as running:
        running.end()
        running.thread.join(10)
        assert running.result == [0]
        assert engine.has_stopped


def test_what_was_begun_is_finished_and_nothing_more_is_taken():
    with serving(Limits(max_places=1, max_queue=5)) as running:
        begun = Later(running, "hold this")
        eventually(lambda: running.engine.running)
        queued = Later(running, "hold that")
        eventually(lambda: b"oryx_requests_queued 1.0" in call(running, "GET", "/metrics").body)
        running.end()
        eventually(lambda: call(running, "GET", "/health").status == 503)
        answer = ask(running, "more")
        assert (answer.status, answer.error["code"]) == (503, "server_draining")
        running.engine.release.set()
        for later, text in ((begun, "hold this"), (queued, "hold that")):
            assert json.loads(later.answer.body)["choices"][0]["message"]["content"] == text
        running.thread.join(10)
        assert running.result == [0]
        assert running.engine.has_stopped
        assert running.pool.has_stopped
        with pytest.raises(OSError, match="refused"):
            ask(running)


def test_what_takes_too_long_in_the_end_is_told_so(logged):
    with serving(Limits(drain_seconds=0.2)) as running:
        begun = Later(running, "hold this")
        eventually(lambda: running.engine.running)
        with openai.OpenAI(base_url=f"{running.url}/v1", api_key="none", max_retries=0) as client:
            messages = [{"role": "user", "content": "endless"}]
            stream = client.chat.completions.create(
                model="nano", messages=messages, stream=True, max_tokens=4000
            )
            next(stream)
            running.end()
            with pytest.raises(openai.APIError, match="shut down"):
                list(stream)
        assert (begun.answer.status, begun.answer.error["code"]) == (503, "server_draining")
        running.thread.join(10)
        assert running.result == [0]
        assert not running.engine.running
        lines = [line for line in logged() if line.startswith("POST ")]
        assert len(lines) == 2
        assert all(" 503 (server_draining, " in line for line in lines)


def test_a_second_signal_ends_at_once():
    with serving(Limits(drain_seconds=60)) as running:
        begun = Later(running, "hold this")
        eventually(lambda: running.engine.running)
        began = time.monotonic()
        running.end()
        running.end()
        running.thread.join(10)
        assert time.monotonic() - began < 5
        assert running.result == [INTERRUPTED]
        assert begun.answer.status == 503


@pytest.mark.parametrize("question", ["die now", "late death"])
def test_a_dead_engine_ends_the_server(question):
    with serving() as running:
        answer = ask(running, question)
        assert (answer.status, answer.error["code"]) == (503, "engine_stopped")
        running.thread.join(10)
        assert running.result == [1]


def test_a_dead_engine_is_told_while_others_are_still_answered():
    with serving() as running:
        begun = Later(running, "hold this")
        eventually(lambda: running.engine.running)
        ask(running, "die now")
        answer = call(running, "GET", "/health")
        assert (answer.status, answer.error["code"]) == (503, "server_dead")
        assert ask(running).error["code"] == "server_dead"
        running.engine.release.set()
        assert begun.answer.status == 200


def test_an_engine_that_dies_idle_is_noticed_by_who_asks_after_its_health():
    with serving() as running:
        running.engine.has_died = True
        answer = call(running, "GET", "/health")
        assert (answer.status, answer.error["code"]) == (503, "server_dead")
        running.thread.join(10)
        assert running.result == [1]


def test_a_port_that_is_taken():
    with bind("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port} on 127.0.0.1 is taken"):
            bind("127.0.0.1", port)


def test_an_address_of_another_machine():
    with pytest.raises(ConfigError, match=r"192\.0\.2\.1"):
        bind("192.0.2.1", 0)
    with pytest.raises(ConfigError, match="no address"):
        bind("no such host", 0)


def test_a_signal_ends_a_process_when_its_answers_are_whole():
    code = (
        "import asyncio, sys; from fake_serving import *; listener = bind('127.0.0.1', 0)\n"
        "def ready(): print(listener.getsockname()[1], flush=True)\n"
        "parts = Parts(FakeEngine(), FakePool(), FakeLoader(), 'nano')\n"
        "sys.exit(asyncio.run(run_server(parts, Limits(), Access(), listener, ready)))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=TESTS, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    port = int(process.stdout.readline())
    with openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0) as client:
        messages = [{"role": "user", "content": "endless"}]
        stream = client.chat.completions.create(model="nano", messages=messages, stream=True, max_tokens=30)
        next(stream)
        process.send_signal(signal.SIGINT)
        assert list(stream)[-1].choices[0].finish_reason == "length"
    out, errors = process.communicate(timeout=20)
    assert (process.returncode, out, errors) == (0, "", "")
