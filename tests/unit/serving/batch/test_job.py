"""Whole batches with workers that need no model: going on, refusing to, and what the output holds."""

import asyncio
import json
import signal
import subprocess
import sys
import threading

import pyarrow.parquet
import pytest
from fake_batch import FakeWorkers, NoWatcher

from oryx.errors import ConfigError, OryxError
from oryx.locks import take_lock
from oryx.serving.batch.job import Batch, Interrupted, Outcome, run_batch
from oryx.serving.batch.shards import Shard

ROWS = [{"id": f"r{index}", "question": f"question {index}"} for index in range(20)]


class Recorder(NoWatcher):
    """Writes down what it is told."""

    def __init__(self):
        self.began = None
        self.errors = []
        self.told = []

    def loading(self, label):
        self.told.append(f"loading {label}")

    def tell(self, sentence):
        self.told.append(sentence)

    def begin(self, total, done, errors):
        self.began = (total, done, errors)

    def advance(self, is_error):
        self.errors.append(is_error)


class Mended(FakeWorkers):
    async def answer(self, row):
        self.asked.append(row.id)
        return {"answer": "mended", "finish_reason": "stop", "usage": {}}


@pytest.fixture
def job(rows_file, tmp_path):
    """(rows, workers, name, watcher, ...) -> what `run_batch` returns, the output in the test's folder."""

    def start(
        rows,
        workers=None,
        name="out.jsonl",
        watcher=None,
        settings=None,
        leave=lambda: None,
        **of_batch,
    ):
        source = rows if not isinstance(rows, list) else rows_file(rows)
        batch = Batch(source, tmp_path / name, settings or {"--model": "fake"}, patience=0.0, **of_batch)
        return run_batch(batch, lambda: workers or FakeWorkers(), watcher or NoWatcher(), leave)

    return start


def no_workers():
    raise AssertionError("no workers are needed")


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_output_has_every_row_in_the_order_of_the_input(job, tmp_path):
    workers = FakeWorkers(7, seconds=0.001)
    watcher = Recorder()
    assert job([*ROWS, "broken", {"id": 5, "question": "fail"}], workers, watcher=watcher) == Outcome(
        22, 2, 22
    )
    rows = lines(tmp_path / "out.jsonl")
    assert [row["id"] for row in rows] == [*(f"r{index}" for index in range(20)), None, 5]
    assert rows[3] == {
        "id": "r3",
        "answer": "QUESTION 3",
        "finish_reason": "stop",
        "usage": {"prompt_tokens": 10, "visual_tokens": 0, "completion_tokens": 1},
    }
    assert rows[20]["error"].startswith("line 21 is no JSON object")
    assert rows[21] == {"id": 5, "error": "fail is no question."}
    assert workers.has_stopped
    assert watcher.began == (22, 0, 0)
    assert watcher.told == ["loading the model"]
    assert (len(watcher.errors), sum(watcher.errors)) == (22, 2)


def test_a_batch_that_is_done_needs_no_workers_and_writes_a_lost_output_again(job, tmp_path):
    job(ROWS)
    out = tmp_path / "out.jsonl"
    before = out.read_bytes()
    out.unlink()
    batch = Batch(tmp_path / "in.jsonl", out, {"--model": "fake"}, patience=0.0)
    assert run_batch(batch, no_workers, NoWatcher()) == Outcome(20, 0, 0)
    assert out.read_bytes() == before
    assert run_batch(batch, no_workers, NoWatcher()) == Outcome(20, 0, 0)


def test_a_batch_that_failed_goes_on(job, tmp_path):
    rows = [*ROWS[:10], {"id": "bad", "question": "die once"}, *ROWS[10:]]
    with pytest.raises(RuntimeError, match="the workers are dead"):
        job(rows, FakeWorkers(1))
    assert not (tmp_path / "out.jsonl").exists()

    workers, watcher = Mended(1), Recorder()
    assert job(rows, workers, watcher=watcher, label="nano (fake)") == Outcome(21, 0, 11)
    assert watcher.told == ["going on: 10 of 21 rows are done", "loading nano (fake)"]
    assert workers.asked == ["bad", *(f"r{index}" for index in range(10, 20))]
    assert watcher.began == (21, 10, 0)
    assert [row["answer"] for row in lines(tmp_path / "out.jsonl")][9:12] == [
        "QUESTION 9",
        "mended",
        "mended",
    ]


def test_errors_stay_unless_they_are_asked_again(job, tmp_path):
    rows = [{"id": 1, "question": "fail"}, {"id": 2, "question": "fine"}]
    job(rows)
    workers = FakeWorkers()
    assert job(rows, workers) == Outcome(2, 1, 0)

    workers, watcher = Mended(), Recorder()
    assert job(rows, workers, watcher=watcher, retry_errors=True) == Outcome(2, 0, 1)
    assert workers.asked == [1]
    assert watcher.began == (2, 1, 0)
    assert [row["answer"] for row in lines(tmp_path / "out.jsonl")] == ["mended", "FINE"]


def test_an_output_that_lags_behind_its_journal_is_brought_up_to_it(job, tmp_path):
    """As after a kill between the last answer of --retry-errors and the output."""
    rows = [{"id": 1, "question": "fail"}]
    job(rows)
    journal = tmp_path / "out.jsonl.parts" / "answers.jsonl"
    with journal.open("a") as file:
        file.write('{"row": 0, "output": {"id": 1, "answer": "late"}}\n')
    job(rows)
    assert lines(tmp_path / "out.jsonl") == [{"id": 1, "answer": "late"}]


def test_too_many_errors_count_over_runs(job):
    rows = [{"id": index, "question": "fail"} for index in range(6)]
    with pytest.raises(OryxError, match="3 rows have errors, more than --max-errors 2"):
        job(rows, FakeWorkers(1), max_errors=2)
    with pytest.raises(OryxError, match="4 rows have errors, more than --max-errors 3"):
        job(rows, FakeWorkers(1), max_errors=3)
    assert job(rows, FakeWorkers(1), max_errors=6) == Outcome(6, 6, 2)


def test_a_journal_with_too_many_errors_loads_no_model(job, tmp_path):
    questions = ["fail", "fail", "good", "good"]
    rows = [{"id": index, "question": question} for index, question in enumerate(questions)]
    with pytest.raises(OryxError, match=r"2 rows have errors, more than --max-errors 1\. The last: fail"):
        job(rows, FakeWorkers(1), max_errors=1)
    batch = Batch(tmp_path / "in.jsonl", tmp_path / "out.jsonl", {"--model": "fake"}, max_errors=1)
    with pytest.raises(OryxError, match=r"2 rows have errors, more than --max-errors 1\. What is answered"):
        run_batch(batch, no_workers, NoWatcher())
    workers = FakeWorkers(1)
    with pytest.raises(OryxError, match="2 rows have errors"):
        job(rows, workers, max_errors=1, retry_errors=True)  # these are not counted before they are asked
    assert workers.asked == [0, 1]


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")
def test_a_run_that_is_told_to_stop_says_so_while_rows_are_at_work(job):
    workers, watcher = FakeWorkers(2), Recorder()
    watcher.advance = lambda is_error: signal.raise_signal(signal.SIGINT)
    watcher.tell = lambda sentence: (watcher.told.append(sentence), workers.release.set())
    with pytest.raises(Interrupted):
        job([{"id": "held", "question": "hold"}, *ROWS], workers, watcher=watcher)
    assert watcher.told[1:] == ["ending: rows at work have 10 s; a second Ctrl-C or SIGTERM ends at once"]


def test_a_run_that_is_stopped_while_the_model_loads_may_leave_its_thread(job):
    end, left = threading.Event(), []

    class Loading(FakeWorkers):
        async def start(self):
            asyncio.get_running_loop().call_later(0.01, signal.raise_signal, signal.SIGINT)
            await asyncio.to_thread(end.wait, 60)

    def leave():
        left.append((workers.has_stopped, end.is_set()))
        end.set()  # as the end of the process does

    workers = Loading()
    with pytest.raises(Interrupted):
        job(ROWS, workers, leave=leave)
    assert left == [(True, False)]
    assert job(ROWS).num_new == 20


def test_another_input_or_setting_is_refused_before_any_worker_starts(job, rows_file, tmp_path):
    job(ROWS)
    rows_file([*ROWS, {"id": "more", "question": "x"}])
    batch = Batch(tmp_path / "in.jsonl", tmp_path / "out.jsonl", {"--model": "fake"}, patience=0.0)
    with pytest.raises(ConfigError, match="the input has other content"):
        run_batch(batch, no_workers, NoWatcher())
    rows_file(ROWS)
    batch = Batch(tmp_path / "in.jsonl", tmp_path / "out.jsonl", {"--model": "real"}, patience=0.0)
    with pytest.raises(ConfigError, match="was begun with --model fake, not real"):
        run_batch(batch, no_workers, NoWatcher())
    with pytest.raises(ConfigError, match="was begun with --shard 1/1, not 1/2"):
        job(ROWS, shard=Shard(1, 2))


def test_wrong_ids_leave_nothing_behind(job, tmp_path):
    with pytest.raises(ConfigError, match="'a' on lines 1, 2"):
        job([{"id": "a"}, {"id": "a"}])
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_a_second_run_of_the_same_output_is_refused(job, tmp_path):
    (tmp_path / "out.jsonl.parts").mkdir()
    lock = take_lock(tmp_path / "out.jsonl.parts" / ".lock", "")
    assert lock is not None
    with pytest.raises(ConfigError, match="another run is writing"):
        job(ROWS)
    lock.release()
    assert job(ROWS).num_new == 20


@pytest.mark.parametrize("start_error", [ConfigError("there is no such model."), OSError("no memory")])
def test_workers_that_cannot_start_are_stopped_and_the_next_run_begins(job, start_error):
    workers = FakeWorkers(start_error=start_error)
    with pytest.raises(type(start_error), match=str(start_error)):
        job(ROWS, workers)
    assert workers.has_stopped
    assert job(ROWS).num_new == 20


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("in.jsonl", "is the input"),
        ("out.txt", "must end with .jsonl"),
        ("folder.jsonl", "a folder has this name"),
        ("in.jsonl/out.jsonl", "is a file"),
    ],
)
def test_an_output_that_cannot_be_is_refused(job, tmp_path, name, message):
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(ConfigError, match=message):
        job(ROWS, name=name)


def test_the_output_s_folder_is_made(job, tmp_path):
    job(ROWS, name="new/deep/out.jsonl")
    assert len(lines(tmp_path / "new/deep/out.jsonl")) == 20


def test_formats_may_differ(job, tmp_path):
    job([*ROWS[:2], "broken"], name="out.parquet")
    table = pyarrow.parquet.read_table(tmp_path / "out.parquet")
    assert table["id"].to_pylist() == ["r0", "r1", None]
    assert table["answer"].to_pylist() == ["QUESTION 0", "QUESTION 1", None]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "in.parquet")
    job(tmp_path / "in.parquet", name="other.jsonl")
    assert [row["answer"] for row in lines(tmp_path / "other.jsonl")] == [
        f"QUESTION {index}" for index in range(20)
    ]


@pytest.mark.parametrize("num_rows", [2, 20])
def test_shards_hold_each_row_once_and_are_joined_in_order_by_paste(job, tmp_path, num_rows):
    job(ROWS[:num_rows])
    names = [f"out.{number}.jsonl" for number in (1, 2, 3)]
    for number, name in enumerate(names, start=1):
        job(ROWS[:num_rows], name=name, shard=Shard(number, 3))
    assert [row["id"] for row in lines(tmp_path / names[1])] == [f"r{row}" for row in range(1, num_rows, 3)]
    joined = subprocess.run(
        f"paste -d '\\n' {' '.join(names)} | grep .",
        shell=True,
        cwd=tmp_path,
        capture_output=True,
        check=True,
    )
    assert joined.stdout == (tmp_path / "out.jsonl").read_bytes()


def test_a_shard_is_written_as_people_write_it():
    assert Shard.parse("3/8") == Shard(3, 8)
    assert str(Shard(3, 8)) == "3/8"
    for text in ("0/8", "9/8", "3", "a/b", "3/8/9", "-1/8", ""):
        with pytest.raises(ConfigError, match="must be K/N with K from 1 to N"):
            Shard.parse(text)
