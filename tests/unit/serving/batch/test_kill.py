"""Batches as programs of their own, which are killed: the output is the one of an undisturbed run."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[3]
EXAMPLES = TESTS.parent / "examples"
PATHS = os.pathsep.join([str(TESTS), *sys.path])
KILLED_WHILE_WRITING = """
import os, signal, sys
from oryx.serving.batch.journal import Journal
import fake_batch

outputs, num_rows = Journal.outputs, int(sys.argv.pop(1))

def some(journal, rows):
    for number, output in enumerate(outputs(journal, rows)):
        if number == num_rows:
            os.kill(os.getpid(), signal.SIGKILL)
        yield output

Journal.outputs = some
fake_batch.main()
"""
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")


def start_fake(source, out, seconds):
    program = [sys.executable, str(TESTS / "fake_batch.py"), str(source), str(out), str(seconds)]
    return subprocess.Popen(program, stderr=subprocess.PIPE, text=True)


def journal_size(out):
    path = out.with_name(out.name + ".parts") / "answers.jsonl"
    return path.stat().st_size if path.exists() else 0


def wait_for_a_row(process, out, seconds=60.0):
    """Until something is in the journal. Fails if the process ends before."""
    end = time.monotonic() + seconds
    while not journal_size(out):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < end, "no row was answered"
        time.sleep(0.002)


def kill_once_journal_grew(process, out, num_bytes, seconds=60.0):
    """`kill -9` when the journal has so many bytes more; whether the process was still there."""
    end, size = time.monotonic() + seconds, journal_size(out) + num_bytes
    while journal_size(out) < size and process.poll() is None:
        assert time.monotonic() < end, "the journal did not grow"
        time.sleep(0.002)
    process.kill()
    return process.wait() == -signal.SIGKILL


def check_ids(out, ids):
    assert [json.loads(line)["id"] for line in out.read_text().splitlines()] == ids


def test_ten_kills_at_random_moments_change_nothing(rows_file, tmp_path):
    questions = [f"fail {index}" if index % 9 == 4 else "x" * index for index in range(300)]
    rows = [{"id": index, "question": question} for index, question in enumerate(questions)]
    source = rows_file(rows)
    assert start_fake(source, tmp_path / "whole.jsonl", 0.0).wait() == 0
    out, rng = tmp_path / "out.jsonl", random.Random(5)
    size = journal_size(tmp_path / "whole.jsonl")
    sizes = []
    for kill in range(10):
        process = start_fake(source, out, 0.03)
        if kill in (3, 7):  # some while it starts: it takes about 0.3 s to import everything
            time.sleep(rng.random() * 0.3)
            process.kill()
            assert process.wait() == -signal.SIGKILL
        else:
            assert kill_once_journal_grew(process, out, rng.randrange(1, size // 12))
        assert not out.exists()
        sizes.append(journal_size(out))
    assert 0 < sizes[0] < sizes[-1] < size
    assert start_fake(source, out, 0.0).wait() == 0
    assert out.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    check_ids(out, list(range(300)))


def test_a_kill_while_the_output_is_written_leaves_none_or_a_whole_one(rows_file, tmp_path):
    source = rows_file([{"id": index, "question": "x" * 1000} for index in range(2000)])
    out = tmp_path / "out.jsonl"
    assert start_fake(source, out, 0.0).wait() == 0
    whole, part = out.read_bytes(), out.with_name("out.jsonl.parts") / "output.part"
    for num_rows in (1, 1000):
        out.unlink()
        program = [sys.executable, "-c", KILLED_WHILE_WRITING, str(num_rows), str(source), str(out)]
        killed = subprocess.run(program, env={**os.environ, "PYTHONPATH": PATHS}, timeout=60)
        assert killed.returncode == -signal.SIGKILL
        assert part.exists()
        assert not out.exists()
        assert start_fake(source, out, 0.0).wait() == 0
        assert out.read_bytes() == whole
        assert not part.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_130_and_it_goes_on(rows_file, tmp_path, number):
    source = rows_file([{"id": index, "question": "x" * 50} for index in range(200)])
    out = tmp_path / "out.jsonl"
    process = start_fake(source, out, 0.02)
    wait_for_a_row(process, out)
    process.send_signal(number)
    assert process.wait(10) == 130
    assert not out.exists()
    done = journal_size(out)
    assert start_fake(source, out, 0.0).wait() == 0
    check_ids(out, list(range(200)))
    assert 0 < done < journal_size(out)


def test_a_second_process_is_refused_while_the_first_runs(rows_file, tmp_path, monkeypatch):
    source = rows_file([{"id": 1, "question": "a"}, {"id": 2, "question": "hold"}])
    out = tmp_path / "out.jsonl"
    first = start_fake(source, out, 0.0)
    try:
        wait_for_a_row(first, out)
        second = subprocess.run(
            [
                sys.executable,
                "-c",
                "import sys, oryx.serving.batch.job as job\n"
                "import fake_batch\n"
                "run, fake_batch.Batch = fake_batch.Batch, lambda *a, **k: run(*a, **k, patience=0.2)\n"
                "sys.exit(fake_batch.main())",
                str(source),
                str(out),
            ],
            env={**os.environ, "PYTHONPATH": PATHS},
            capture_output=True,
            text=True,
        )
        assert second.returncode == 2
        assert "another run is writing" in second.stderr
    finally:
        first.kill()
        first.wait()


@pytest.mark.slow
def test_ten_kills_of_nano_change_nothing(tmp_path):
    pytest.importorskip("psutil")  # of the extra `serve`
    for name in ("scene.png", "sign.png", "object.png", "order.mp4", "moving.mp4"):
        shutil.copy(EXAMPLES / name, tmp_path)
    questions = [
        "Where is the red circle?",
        "What does the text say?",
        "What comes first?",
        "How many circles?",
    ]
    media = ["scene.png", "sign.png", "object.png", "order.mp4", "moving.mp4"]
    rows = [
        {
            "id": f"{name}/{number}/{ratio}",
            "question": question,
            "media": name,
            "compression": ratio,
            "temperature": 0.8 * (number % 2),
        }
        for name in media
        for number, question in enumerate(questions)
        for ratio in (1, 2, 4, 8, 16)
    ]
    rows.insert(50, {"id": "missing", "question": "What?", "media": "nothing.png"})
    source = tmp_path / "in.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def start(out):
        command = [sys.executable, "-m", "oryx", "batch", str(source), str(out), "--engine", "transformers"]
        return subprocess.Popen(
            [*command, "--device", "cpu", "--max-requests", "4"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    whole, out = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    assert start(whole).wait() == 0
    rng = random.Random(3)
    for _ in range(10):
        assert kill_once_journal_grew(start(out), out, rng.randrange(1, journal_size(whole) // 12), 120.0)
        assert not out.exists()
    assert start(out).wait() == 0
    assert out.read_bytes() == whole.read_bytes()
    check_ids(out, [row["id"] for row in rows])
