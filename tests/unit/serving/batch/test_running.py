"""Rows at work: as many as allowed, each journaled once, and an end that keeps what is done."""

import asyncio
import signal

import pytest
from fake_batch import FakeWorkers

from oryx.errors import OryxError
from oryx.serving.batch import running
from oryx.serving.batch.inputs import Row
from oryx.serving.batch.journal import Journal
from oryx.serving.batch.running import Stop, run_rows
from oryx.serving.engine import EngineStopped


def rows_of(*questions):
    return [
        Row(
            index,
            index + 1,
            index,
            {"question": question} if question else None,
            None if question else "broken.",
        )
        for index, question in enumerate(questions)
    ]


@pytest.fixture
def run(tmp_path):
    """(rows, workers, ..., during) -> {row: output} of the journal, while `during(stop, workers)` goes on."""

    def start(rows, workers, during=None, error=None, **settings):
        journal = Journal(tmp_path / "out.jsonl", len(rows), 0.0)
        journal.open({})
        told = []

        async def both():
            stop = Stop()
            with stop.watching():
                going = run_rows(
                    iter(rows), workers, journal, stop, lambda *what: told.append(what), **settings
                )
                task = asyncio.create_task(going)
                if during is not None:
                    await during(stop, workers)
                await asyncio.wait_for(task, 10)

        try:
            if error is None:
                asyncio.run(both())
            else:
                with pytest.raises(type(error), match=str(error)):
                    asyncio.run(both())
        finally:
            journal.close()
        done = [row.index for row in rows if journal.is_done(row.index)]
        assert sorted(told) == [(row, journal.is_error(row)) for row in done]
        return dict(zip(done, journal.outputs(done)))

    return start


async def until(check):
    async with asyncio.timeout(5):
        while not check():
            await asyncio.sleep(0.001)


def test_all_rows_are_answered_once_and_a_broken_one_is_an_error(run):
    workers = FakeWorkers(3)
    done = run(rows_of("a", "fail b", None, "d"), workers)
    assert [done[row].get("answer") for row in range(4)] == ["A", None, None, "D"]
    assert done[1] == {"id": 1, "error": "fail b is no question."}
    assert done[2] == {"id": 2, "error": "broken."}
    assert sorted(workers.asked) == [0, 1, 3]


@pytest.mark.parametrize(("num_slots", "most"), [(2, 2), (5, 5), (100, 40)])
def test_so_many_rows_are_at_work(run, num_slots, most):
    workers = FakeWorkers(num_slots, seconds=0.001)
    taken = []
    rows = rows_of(*["x"] * 40)

    class Counted(list):
        def __iter__(self):
            for row in super().__iter__():
                if len(taken) < 40:  # and not while they are counted at the end
                    taken.append(len(taken) + 1 - len(workers.asked))
                yield row

    assert len(run(Counted(rows), workers)) == 40
    assert workers.most_running == most
    assert max(taken) <= most  # none is read ahead of its turn


def test_a_row_that_takes_long_keeps_no_other(run):
    async def during(stop, workers):
        await until(lambda: len(workers.asked) == 9 and workers.running == 1)
        workers.release.set()

    assert len(run(rows_of("hold", *["x"] * 8), FakeWorkers(2), during)) == 9


def test_workers_that_die_end_the_run_and_keep_what_is_done(run):
    async def during(stop, workers):
        await until(lambda: len(workers.asked) == 4)

    workers = FakeWorkers(2)
    done = run(rows_of("a", "hold", "c", "die", "e"), workers, during, RuntimeError("the workers are dead"))
    assert sorted(done) == [0, 2]
    assert workers.running == 0  # the one that waits was cancelled


def test_too_many_errors_end_the_run(run):
    questions = ["a", "fail b", "fail c", "fail d", "e"]
    error = OryxError("2 rows have errors, more than --max-errors 1. The last: fail c is no question. What")
    assert sorted(run(rows_of(*questions), FakeWorkers(1), error=error, max_errors=1)) == [0, 1, 2]


def test_errors_of_runs_before_count(run):
    error = OryxError("6 rows have errors, more than --max-errors 5")
    assert len(run(rows_of("fail", "b"), FakeWorkers(1), error=error, max_errors=5, num_errors=5)) == 1


def test_as_many_errors_as_allowed_are_allowed(run):
    assert len(run(rows_of("fail", "fail", "b"), FakeWorkers(1), max_errors=2)) == 3


def test_errors_of_an_earlier_run_do_not_end_at_an_answer(run):
    assert run(rows_of("b"), FakeWorkers(1), max_errors=1, num_errors=5)[0]["answer"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_rows_at_work_end_and_begins_no_other(run, number):
    async def during(stop, workers):
        await until(lambda: workers.running == 3)
        signal.raise_signal(number)
        await until(stop.asked.is_set)
        workers.release.set()

    workers = FakeWorkers(3)
    assert len(run(rows_of(*["hold"] * 8), workers, during)) == 3
    assert len(workers.asked) == 3


class Ended(FakeWorkers):
    """Their engine ends while a row is held."""

    async def answer(self, row):
        try:
            return await super().answer(row)
        finally:
            if row.content["question"] == "hold":
                raise EngineStopped("vLLM ended the answer (abort).")


@pytest.mark.parametrize("is_told_first", [True, False])
def test_an_engine_that_heard_the_signal_too_has_not_failed(run, is_told_first):
    async def during(stop, workers):
        await until(lambda: workers.running == 1)
        if is_told_first:
            stop.ask()
        workers.release.set()
        await until(lambda: workers.running == 0)
        if not is_told_first:
            stop.ask()

    workers = Ended(1)
    assert sorted(run(rows_of("a", "hold", "c"), workers, during)) == [0]
    assert workers.asked == [0, 1]


def test_an_engine_that_ends_by_itself_has_failed(run, monkeypatch):
    monkeypatch.setattr(running, "SIGNAL_SECONDS", 0.01)

    async def during(stop, workers):
        await until(lambda: workers.running == 1)
        workers.release.set()

    error = EngineStopped(r"vLLM ended the answer \(abort\)")
    assert sorted(run(rows_of("a", "hold", "c"), Ended(1), during, error)) == [0]


def test_rows_that_do_not_end_are_left_for_the_next_run(run, monkeypatch):
    monkeypatch.setattr(running, "DRAIN_SECONDS", 0.05)

    async def during(stop, workers):
        await until(lambda: workers.running == 1 and len(workers.asked) == 3)
        stop.ask()

    workers = FakeWorkers(2)
    assert sorted(run(rows_of("a", "hold", "c"), workers, during)) == [0, 2]
    assert workers.running == 0


def test_a_second_signal_does_not_wait(run):
    async def during(stop, workers):
        await until(lambda: workers.running == 2)
        stop.ask()
        await asyncio.sleep(0.02)
        assert workers.running == 2
        stop.ask()

    assert run(rows_of("hold", "hold"), FakeWorkers(2), during) == {}


def test_an_ignored_signal_stays_ignored(run):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:

        async def during(stop, workers):
            await until(lambda: workers.running == 1)
            signal.raise_signal(signal.SIGINT)
            await asyncio.sleep(0.02)
            assert not stop.asked.is_set()
            workers.release.set()

        assert len(run(rows_of("hold", "b"), FakeWorkers(1), during)) == 2
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_journal_is_put_onto_the_disk_while_it_runs(run, monkeypatch):
    monkeypatch.setattr(running, "SYNC_SECONDS", 0.005)
    synced = []
    monkeypatch.setattr("oryx.serving.batch.journal.os.fsync", synced.append)

    async def during(stop, workers):
        await until(lambda: len(synced) > 0 and len(workers.asked) == 2)
        workers.release.set()

    run(rows_of("a", "hold"), FakeWorkers(1), during)
    assert len(synced) >= 2  # once meanwhile, once at the end


def test_a_disk_that_refuses_to_keep_it_ends_the_run(run, monkeypatch):
    monkeypatch.setattr(running, "SYNC_SECONDS", 0.005)

    def fail(file):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("oryx.serving.batch.journal.os.fsync", fail)
    error = OryxError(r"cannot be written \(Input/output error\); what is answered is kept")
    assert len(run(rows_of("a", "hold"), FakeWorkers(2), error=error)) == 1
