"""A batch on vLLM that is told to stop, and vLLM's processes with it: rows at work end, others are left."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

NUM_SLOTS = 4
NUM_TOKENS = 200


def journaled(out):
    path = out.with_name(out.name + ".parts") / "answers.jsonl"
    return len(path.read_bytes().splitlines()) if path.exists() else 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_all_processes_is_no_failure_and_ctrl_c_lets_rows_at_work_end(tmp_path, number):
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    row = {"question": "What is it?", "max_tokens": NUM_TOKENS, "ignore_eos": True}
    source.write_text("".join(json.dumps({"id": index, **row}) + "\n" for index in range(200)))
    command = [sys.executable, "-m", "oryx", "batch", str(source), str(out), "--engine", "vllm"]
    slots = ["--max-requests", str(NUM_SLOTS), "--concurrency", str(NUM_SLOTS), "--workers", "1"]
    process = subprocess.Popen(
        [*command, *slots, "--vllm", "max_model_len=1024"],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # the signal goes to its whole group, as a terminal's does
    )
    try:
        end = time.monotonic() + 240
        while journaled(out) < NUM_SLOTS + 1:  # of the second round, the first is done
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < end, "no row was answered"
            time.sleep(0.01)
        num_before = journaled(out)
        os.killpg(process.pid, number)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, said
    assert "oryx: stopped; what is answered is kept in" in said
    outputs = (out.with_name("out.jsonl.parts") / "answers.jsonl").read_text().splitlines()
    # SIGTERM ends the worker that vLLM has on a CPU, and with it the rows at work; the next run answers them.
    num_ended = NUM_SLOTS - 1 if number == signal.SIGINT else 0  # one may end just before the signal
    assert num_before + num_ended <= len(outputs) <= num_before + NUM_SLOTS + 1
    for line in outputs:
        assert json.loads(line)["output"]["usage"]["completion_tokens"] == NUM_TOKENS  # no half of an answer
