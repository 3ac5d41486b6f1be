"""Rows through an engine and a pool: errors of rows stay theirs, and prompts do not fill the memory."""

import asyncio

import numpy as np
import pytest

from oryx.errors import ConfigError, MediaError
from oryx.processing.collate import EncodedSample
from oryx.serving.batch import answering
from oryx.serving.batch.answering import LocalWorkers
from oryx.serving.batch.inputs import Row
from oryx.serving.batch.places import Places
from oryx.serving.batch.requests import RowDefaults
from oryx.serving.engine import EngineStopped, Piece, Prompt
from oryx.serving.errors import RequestError


def prompt_of(text, num_bytes=0):
    sample = EncodedSample(
        ids=np.frombuffer(text.encode(), dtype=np.uint8).astype(np.int64),
        labels=None,
        patches=np.zeros((num_bytes, 1), dtype=np.uint8),
        grids=np.zeros((0, 2), dtype=np.int64),
        compressions=np.zeros(0, dtype=np.int64),
        visual_lengths=np.zeros(0, dtype=np.int64),
        visual_kinds=np.zeros(0, dtype=np.int64),
        spans=[],
    )
    return Prompt(sample, (), 2)


class FakePool:
    def __init__(self, errors=(), num_bytes=0):
        self.errors, self.num_bytes = list(errors), num_bytes
        self.has_started = self.has_stopped = False
        self.num_encoded = 0

    async def start(self):
        self.has_started = True

    async def stop(self):
        self.has_stopped = True

    async def encode(self, job):
        if self.errors:
            raise self.errors.pop(0)
        await asyncio.sleep(0.01)
        self.num_encoded += 1
        return prompt_of(job.messages[-1]["content"][0]["text"], self.num_bytes)


class FakeEngine:
    """Echoes the question word by word."""

    name = "fake"
    max_positions = 100

    def __init__(self, error=None, start_error=None):
        self.error, self.start_error = error, start_error
        self.samplings, self.ids, self.closed = {}, [], 0
        self.release = asyncio.Event()
        self.release.set()

    async def start(self):
        if self.start_error:
            raise self.start_error

    async def stop(self): ...

    async def generate(self, prompt, sampling, request_id):
        self.samplings[request_id] = sampling
        try:
            words = bytes(prompt.sample.ids.astype(np.uint8)).decode().split()
            for number, word in enumerate(words):
                await self.release.wait()
                yield Piece(word + " ", 2, None if number < len(words) - 1 else "length")
                if self.error:
                    raise self.error
        finally:
            self.closed += 1


def row_of(question="one two three", index=0, **content):
    return Row(index, index + 1, f"id{index}", {"id": f"id{index}", "question": question, **content})


def answers(workers, *rows):
    async def run():
        await workers.start()
        try:
            return await asyncio.gather(*(workers.answer(row) for row in rows))
        finally:
            await workers.stop()

    return asyncio.run(run())


def workers_of(engine=None, pool=None, tmp_path="/", **settings):
    places = Places(tmp_path)
    return LocalWorkers(engine or FakeEngine(), pool or FakePool(), RowDefaults(places), 4, **settings)


def test_an_answer_has_its_text_reason_and_tokens():
    engine, pool = FakeEngine(), FakePool()
    (output,) = answers(workers_of(engine, pool), row_of(max_tokens=9, index=3))
    assert output == {
        "answer": "one two three ",
        "finish_reason": "length",
        "usage": {"prompt_tokens": 13, "visual_tokens": 2, "completion_tokens": 6},
    }
    assert engine.samplings["row-3"].max_tokens == 9
    assert pool.has_started
    assert pool.has_stopped
    assert engine.closed == 1


@pytest.mark.parametrize(
    ("engine_error", "pool_error", "sentence"),
    [
        (None, MediaError("a.png is\nbroken."), "a.png is broken."),
        (None, RequestError("too large.", status=413), "too large."),
        (ConfigError("too long."), None, "too long."),
        (ZeroDivisionError("a bug"), None, "ZeroDivisionError: a bug"),
    ],
)
def test_what_is_wrong_with_a_row_is_its_error_and_others_go_on(engine_error, pool_error, sentence):
    workers = workers_of(FakeEngine(engine_error), FakePool([pool_error] if pool_error else []))
    outputs = answers(workers, row_of(), row_of(index=1))
    assert outputs[0] == {"error": sentence}
    assert ("answer" in outputs[1]) == (engine_error is None)


def test_a_row_that_cannot_be_read_is_an_error():
    (output,) = answers(workers_of(), row_of(compresion=4))
    assert "compresion" in output["error"]


def test_an_engine_that_dies_is_no_error_of_the_row():
    with pytest.raises(EngineStopped, match="dead"):
        answers(workers_of(FakeEngine(EngineStopped("dead"))), row_of())


def test_busy_workers_are_asked_again(monkeypatch):
    monkeypatch.setattr(answering, "PATIENCE_SECONDS", (0, 0, 0))
    busy = [RequestError("full.", status=503)] * 2
    (output,) = answers(workers_of(pool=FakePool(busy)), row_of())
    assert "answer" in output
    with pytest.raises(EngineStopped, match=r"the workers that encode are gone: full\."):
        answers(workers_of(pool=FakePool(busy * 2)), row_of())


def test_a_model_that_cannot_be_loaded_is_told_and_the_workers_end():
    pool = FakePool()
    with pytest.raises(ConfigError, match="no such model"):
        answers(workers_of(FakeEngine(start_error=ConfigError("no such model.")), pool), row_of())


def test_rows_are_encoded_ahead_only_while_there_is_room():
    engine, pool = FakeEngine(), FakePool(num_bytes=1000)
    workers = workers_of(engine, pool, held_bytes=2500)

    async def run():
        engine.release.clear()
        tasks = [asyncio.create_task(workers.answer(row_of(index=index))) for index in range(8)]
        async with asyncio.timeout(30):
            while pool.num_encoded < 4:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)  # no other is begun
        held = pool.num_encoded
        engine.release.set()
        return held, await asyncio.gather(*tasks)

    held, outputs = asyncio.run(run())
    assert held == 4  # two were begun when nothing was held, and two when it was 2,000 bytes
    assert all("answer" in output for output in outputs)


def test_a_row_that_is_cancelled_frees_its_place():
    engine = FakeEngine()
    workers = workers_of(engine, FakePool(num_bytes=1000), held_bytes=500)

    async def run():
        engine.release.clear()
        first = asyncio.create_task(workers.answer(row_of()))
        async with asyncio.timeout(5):
            while "row-0" not in engine.samplings:
                await asyncio.sleep(0.001)
        second = asyncio.create_task(workers.answer(row_of(index=1)))
        await asyncio.sleep(0.05)
        assert "row-1" not in engine.samplings  # no room
        first.cancel()
        engine.release.set()
        return await asyncio.wait_for(second, 5)

    assert "answer" in asyncio.run(run())
    assert engine.closed == 2
