"""The journal: goes on from any state that a kill, a full disk or a loss of power can leave."""

import json
import os
import random
import subprocess
import sys

import pytest

from oryx.errors import ConfigError
from oryx.serving.batch.journal import Journal

HEAD = {"input": {"sha256": "1" * 64, "rows": 4}, "--model": "nano", "--temperature": 0.0}


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out.jsonl"


def opened(out, head=HEAD, num_rows=4, patience=0.0):
    journal = Journal(out, num_rows, patience)
    journal.open(head)
    return journal


def written(out, rows):
    journal = opened(out)
    for row in rows:
        journal.append(row, {"id": row, "answer": f"über {row}"})
    journal.close()
    return out.with_name("out.jsonl.parts") / "answers.jsonl"


def test_what_was_appended_is_there_again(out):
    journal = opened(out)
    journal.append(2, {"id": "c", "answer": "zwölf"})
    journal.append(0, {"id": "a", "error": "no."})
    journal.sync()
    for again in (False, True):
        if again:
            journal.close()
            journal = opened(out)
        assert [journal.is_done(row) for row in range(4)] == [True, False, True, False]
        assert [journal.is_error(row) for row in range(4)] == [True, False, False, False]
        assert list(journal.outputs([0, 2])) == [{"id": "a", "error": "no."}, {"id": "c", "answer": "zwölf"}]
        assert journal.num_dropped == 0
    journal.close()


def test_of_two_outputs_for_a_row_the_later_counts(out):
    journal = opened(out)
    journal.append(1, {"id": "b", "error": "no."})
    journal.append(1, {"id": "b", "answer": "yes"})
    journal.close()
    journal = opened(out)
    assert not journal.is_error(1)
    assert list(journal.outputs([1])) == [{"id": "b", "answer": "yes"}]
    journal.close()


def test_a_file_cut_at_any_byte_goes_on(out):
    path = written(out, [0, 1, 2])
    whole = path.read_bytes()
    ends = [index + 1 for index, byte in enumerate(whole) if byte == ord("\n")]
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        journal = opened(out)
        num_whole = sum(end <= length for end in ends)
        assert [journal.is_done(row) for row in range(4)] == [row < num_whole for row in range(4)]
        assert journal.num_dropped == (length not in (0, *ends))
        journal.append(3, {"id": 3, "answer": "last"})
        journal.close()
        lines = path.read_bytes().splitlines(keepends=True)
        assert b"".join(lines[:-1]) == whole[: ends[num_whole - 1] if num_whole else 0]
        assert json.loads(lines[-1]) == {"row": 3, "output": {"id": 3, "answer": "last"}}


@pytest.mark.parametrize(
    "line",
    [
        b"\0" * 50 + b"\n",
        b"\n",
        b'{"row": 1, "out\n',
        b'{"row": 9, "output": {}}\n',
        b'{"row": -1, "output": {}}\n',
        b'{"row": true, "output": {}}\n',
        b'{"row": 1, "output": 5}\n',
        b"[]\n",
        b"\xff\xfe\n",
    ],
)
def test_a_line_that_is_none_is_dropped_and_the_rest_stays(out, line):
    path = written(out, [0, 1, 2])
    first, _, third = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + line + third)
    journal = opened(out)
    assert [journal.is_done(row) for row in range(4)] == [True, False, True, False]
    assert journal.num_dropped == 1
    assert [output["id"] for output in journal.outputs([2, 0])] == [2, 0]
    journal.close()


def test_random_bytes_are_no_answers(out):
    path = written(out, [])
    rng = random.Random(0)
    for _ in range(50):
        path.write_bytes(rng.randbytes(rng.randrange(300)))
        journal = opened(out)
        assert not any(journal.is_done(row) for row in range(4))
        journal.close()


def test_other_settings_are_named(out):
    written(out, [0])
    with pytest.raises(ConfigError) as caught:
        opened(out, {**HEAD, "--model": "other", "--temperature": 0.5, "--new": [1]})
    message = str(caught.value)
    assert "--model nano, not other; --temperature 0.0, not 0.5; --new none, not [1]" in message
    with pytest.raises(ConfigError, match=r"--temperature 0\.0, not none"):
        opened(out, {name: value for name, value in HEAD.items() if name != "--temperature"})
    opened(out).close()  # as before is as before


def test_another_input_is_refused(out):
    written(out, [0])
    with pytest.raises(ConfigError, match="the input has other content"):
        opened(out, {**HEAD, "input": {"sha256": "2" * 64, "rows": 4}})


def test_a_second_run_is_refused_until_the_first_ends(out):
    journal = opened(out)
    with pytest.raises(ConfigError, match="another run is writing"):
        opened(out)
    journal.close()
    opened(out).close()


def test_an_output_without_a_journal_is_not_overwritten(out):
    out.write_text("precious")
    with pytest.raises(ConfigError, match=r"exists and out\.jsonl\.parts beside it does not"):
        opened(out)
    assert out.read_text() == "precious"
    assert not out.with_name("out.jsonl.parts").exists()


def test_a_folder_of_something_else_is_no_journal(out):
    folder = out.with_name("out.jsonl.parts")
    folder.mkdir()
    (folder / "notes.txt").write_text("x")
    with pytest.raises(ConfigError, match="is no journal of a batch"):
        opened(out)


@pytest.mark.parametrize("text", ["", "[]", "{"])
def test_a_broken_head_is_told(out, text):
    written(out, [0])
    (out.with_name("out.jsonl.parts") / "head.json").write_text(text)
    with pytest.raises(ConfigError, match="is no head of a journal"):
        opened(out)


def test_a_kill_before_the_head_was_there_is_a_beginning(out):
    folder = out.with_name("out.jsonl.parts")
    folder.mkdir()
    for name in (".lock", ".head.json.12345678.part"):
        (folder / name).touch()
    opened(out).close()


def test_a_failed_open_lets_others_in(out):
    written(out, [0])
    with pytest.raises(ConfigError):
        opened(out, {**HEAD, "--model": "other"})
    opened(out).close()


@pytest.mark.skipif(sys.platform == "win32", reason="limits of processes are POSIX's")
def test_a_full_disk_keeps_the_journal_valid(out):
    """A file that may not grow any more takes part of a line, as a full disk does."""
    program = f"""
import resource, sys
from pathlib import Path
from oryx.errors import OryxError
from oryx.serving.batch.journal import Journal
journal = Journal(Path({str(out)!r}), 100)
journal.open({HEAD!r})
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    for row in range(100):
        journal.append(row, {{"id": row, "answer": "x" * 50}})
except OryxError as error:
    print(row, error)
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    failed, message = run.stdout.split(maxsplit=1)
    assert "cannot be written" in message
    assert "the same command goes on" in message
    path = out.with_name("out.jsonl.parts") / "answers.jsonl"
    assert len(path.read_bytes().splitlines()) == int(failed) > 5
    assert path.read_bytes().endswith(b"\n")
    assert os.path.getsize(path) <= 1000
    journal = opened(out, num_rows=100)
    assert sum(journal.is_done(row) for row in range(100)) == int(failed)
    assert journal.num_dropped == 0
    journal.close()
