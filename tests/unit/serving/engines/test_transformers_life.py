"""Who leaves, what fails, and how the engine starts and stops: no place is lost, and nobody waits in vain."""

import asyncio
import subprocess
import sys
import threading
from contextlib import aclosing

import pytest
from engine_requests import ask, generated, in_engine, running

from oryx.errors import AlignmentError, CheckpointError, ConfigError
from oryx.serving.engine import EngineStopped, Prompt, Sampling
from oryx.serving.engines.batcher import Batcher
from oryx.serving.engines.transformers import TransformersEngine

GREEDY = Sampling(max_tokens=24)


@pytest.mark.parametrize("by", ["aclose", "cancellation"])
def test_who_leaves_frees_the_place_and_the_pins(kinds, by):
    endless = Sampling(max_tokens=4000, ignore_eos=True)

    async def leave(engine):
        for _ in range(3):  # the engine has room for one such request
            if by == "aclose":
                async with aclosing(engine.generate(kinds["image"], endless, "left")) as pieces:
                    await anext(pieces)
                    assert engine.num_unfinished == 1
            else:
                task = asyncio.create_task(ask(engine, kinds["image"], endless))
                await asyncio.sleep(0.05)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            assert engine.num_unfinished == 0
        answer = await ask(engine, kinds["video at 4x"], GREEDY)
        scheduler = engine._running.batcher._manager.batch_processor.scheduler
        assert not scheduler.active_requests
        assert not scheduler.waiting_requests
        assert not engine._running.batcher._answers
        assert all(visual.num_pins == 0 for visual in engine._running.visuals._visuals.values())
        return answer

    assert in_engine(leave, max_requests=1, cache_tokens=5000)


def test_who_leaves_while_visuals_are_encoded_frees_the_place_and_the_pins(kinds, nano, monkeypatch):
    model_type = type(nano[0])
    encode_views = model_type.encode_views
    loop_is_free = asyncio.Event()

    def encode_slowly(self, *rest):
        asyncio.run_coroutine_threadsafe(loop_is_free.wait(), loop).result()
        return encode_views(self, *rest)

    async def leave(engine):
        nonlocal loop
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(model_type, "encode_views", encode_slowly)
        task = asyncio.create_task(ask(engine, kinds["image"], GREEDY))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert engine.num_unfinished == 0
        loop_is_free.set()
        answer = await ask(engine, kinds["video at 4x"], GREEDY)
        assert all(visual.num_pins == 0 for visual in engine._running.visuals._visuals.values())
        return answer

    loop = None
    assert in_engine(leave)


@pytest.mark.parametrize("where", ["runs", "waits for a place"])
def test_an_error_in_the_model_reaches_every_request(kinds, where):
    async def run():
        async with running(max_requests=16 if where == "runs" else 1) as engine:
            asked = [
                asyncio.create_task(ask(engine, kinds["text"], Sampling(max_tokens=2000, ignore_eos=True)))
                for _ in range(4)
            ]
            await asyncio.sleep(0.05)

            def fail(ids):
                raise ValueError("the roof fell in")

            engine._running.batcher._decoder.embed = fail
            errors = await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 10)
            assert all(isinstance(error, EngineStopped) for error in errors), errors
            assert all("the roof fell in" in str(error) for error in errors)
            with pytest.raises(EngineStopped, match="the roof fell in"):
                await ask(engine, kinds["text"], GREEDY)

    asyncio.run(run())


def test_an_error_in_encoding_reaches_its_request_alone(kinds, nano, monkeypatch):
    def fail(*_):
        raise RuntimeError("no such picture")

    async def ask_two(engine):
        monkeypatch.setattr(type(nano[0]), "encode_views", fail)
        error, answer = await asyncio.gather(
            ask(engine, kinds["image"], GREEDY), ask(engine, kinds["text"], GREEDY), return_exceptions=True
        )
        return error, answer, engine.num_unfinished

    error, answer, num_unfinished = in_engine(ask_two)
    assert str(error) == "no such picture"
    assert answer[2] in ("stop", "length")
    assert num_unfinished == 0


def test_stopping_ends_everything_and_starting_again_begins_anew(kinds, nano):
    async def run():
        engine = TransformersEngine("nano", dtype="float32", device="cpu", max_requests=2)
        with pytest.raises(EngineStopped, match="not running"):
            await ask(engine, kinds["text"], GREEDY)
        await engine.stop()
        await engine.start()
        assert engine.max_positions == 8192
        with pytest.raises(ConfigError, match="running already"):
            await engine.start()
        endless = Sampling(max_tokens=4000, ignore_eos=True)
        asked = [asyncio.create_task(ask(engine, kinds["image"], endless)) for _ in range(4)]
        await asyncio.sleep(0.1)
        await asyncio.wait_for(engine.stop(), 5)
        errors = await asyncio.gather(*asked, return_exceptions=True)
        assert [str(error) for error in errors] == ["the engine was stopped."] * 4
        assert all(isinstance(error, EngineStopped) for error in errors)
        assert engine.num_unfinished == 0
        with pytest.raises(EngineStopped, match="stopped"):
            await ask(engine, kinds["text"], GREEDY)
        await engine.start()
        answer = await ask(engine, kinds["image"], GREEDY)
        await engine.stop()
        await engine.stop()
        return answer

    assert asyncio.run(run())[:2] == generated(*nano, kinds["image"], 24)


def test_no_request_is_taken_before_the_engine_is_ready(kinds, monkeypatch):
    go_on = threading.Event()
    start = Batcher.start
    monkeypatch.setattr(Batcher, "start", lambda self: go_on.wait() and start(self))

    async def run():
        engine = TransformersEngine("nano", device="cpu")
        starting = asyncio.create_task(engine.start())
        while engine._running is None:
            await asyncio.sleep(0.01)
        with pytest.raises(EngineStopped, match="not running"):
            await ask(engine, kinds["text"], GREEDY)
        go_on.set()
        await starting
        await ask(engine, kinds["text"], GREEDY)
        await engine.stop()

    asyncio.run(run())


def test_what_cannot_be_run_is_refused_before_it_runs(kinds, in_shared_engine):
    prompt = kinds["image"]
    sample = prompt.sample
    wrong = {
        "its first id": Prompt(_changed(sample, ids=_with(sample.ids, 0, 694)), prompt.keys, 1),
        "a placeholder": Prompt(_changed(sample, ids=_with(sample.ids, -1, 693)), prompt.keys, 1),
        "its span": Prompt(_changed(sample, spans=[(4, 9)]), prompt.keys, 1),
    }

    async def ask_all(engine):
        with pytest.raises(ConfigError, match=r"the answer may take 8,000, together 8,\d+, but .* 8,192"):
            await ask(engine, prompt, Sampling(max_tokens=8000))
        with pytest.raises(ConfigError, match="max_tokens is 0"):
            await ask(engine, prompt, Sampling(max_tokens=0))
        for name, damaged in wrong.items():
            with pytest.raises(AlignmentError):
                await ask(engine, damaged, GREEDY)
            assert engine.num_unfinished == 0, name
        return await ask(engine, prompt, GREEDY)

    assert in_shared_engine(ask_all)[2] == "stop"


def _changed(sample, **fields):
    return type(sample)(**{**vars(sample), **fields})


def _with(ids, place, value):
    ids = ids.copy()
    ids[place] = value
    return ids


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_requests": 0}, "max_requests is 0; at least 1"),
        ({"cache_tokens": 31}, "cache_tokens is 31; at least 32"),
        ({"max_batch_tokens": 0}, "max_batch_tokens is 0; at least 1"),
        ({"visual_bytes": -1}, "visual_bytes is -1; at least 0"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        TransformersEngine("nano", **settings)


def test_a_cache_that_no_memory_can_hold_is_refused():
    async def start():
        await TransformersEngine("nano", cache_tokens=10**12).start()

    with pytest.raises(ConfigError, match="lower cache_tokens"):
        asyncio.run(start())


def test_the_cache_bounds_what_a_request_may_take(kinds):
    async def ask_one(engine):
        assert engine.max_positions == 64
        with pytest.raises(ConfigError, match="reads at most 64: give a budget"):
            await ask(engine, kinds["image"], Sampling(max_tokens=1))
        with pytest.raises(ConfigError, match="reads at most 64: shorten the text or lower max_tokens"):
            await ask(engine, kinds["text"], Sampling(max_tokens=65))
        return await ask(engine, kinds["text"], Sampling(max_tokens=64 - len(kinds["text"])))

    assert in_engine(ask_one, cache_tokens=64)


def test_a_model_that_cannot_be_loaded_leaves_the_engine_as_it_was():
    async def start():
        engine = TransformersEngine("no such model")
        with pytest.raises(CheckpointError):
            await engine.start()
        await engine.stop()
        assert engine.num_unfinished == 0

    asyncio.run(start())


@pytest.mark.slow
def test_a_program_that_forgets_to_stop_the_engine_ends_all_the_same():
    program = """
import asyncio
from oryx.serving.engines.transformers import TransformersEngine
asyncio.run(TransformersEngine("nano", device="cpu").start())
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
