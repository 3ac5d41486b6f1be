"""The engine gives the answers of `generate`, alone and among others, and loses no one's place or answer."""

import asyncio
from contextlib import aclosing

import pytest
from engine_requests import ask, encode, generated, in_engine, running
from factories import make_visual
from reference_cases import NAMES, REFERENCE

import oryx
from oryx.errors import AlignmentError, ConfigError
from oryx.serving.engine import EngineStopped, Prompt, Sampling
from oryx.serving.engines.transformers import TransformersEngine

GREEDY = Sampling(max_tokens=24)
LONG = Sampling(max_tokens=24, ignore_eos=True)


@pytest.fixture(scope="session")
def expected(nano, kinds):
    """(text, tokens) of `generate` for each kind, up to the end and on."""
    ended = {kind: generated(*nano, prompt, 24) for kind, prompt in kinds.items()}
    went_on = {kind: generated(*nano, prompt, 24, eos_token_id=None) for kind, prompt in kinds.items()}
    return ended, went_on


def test_answers_are_those_of_generate_alone(kinds, expected):
    async def ask_all(engine):
        return {kind: await ask(engine, prompt, GREEDY) for kind, prompt in kinds.items()}

    for kind, (text, num_tokens, reason) in in_engine(ask_all).items():
        assert (text, num_tokens) == expected[0][kind], kind
        assert reason == ("stop" if num_tokens < 24 else "length")


@pytest.mark.parametrize("settings", [{}, {"max_batch_tokens": 24, "cache_tokens": 4096}])
def test_answers_are_those_of_generate_among_others_that_come_and_go(kinds, expected, settings):
    """Also where prompts are read in parts of 24 positions, and there is room for few at a time."""

    async def ask_all(engine):
        async def later(number, kind):
            await asyncio.sleep(0.004 * number)
            sampling = LONG if number % 2 else GREEDY
            return kind, sampling, await ask(engine, kinds[kind], sampling)

        return await asyncio.gather(*(later(number, kind) for number, kind in enumerate([*kinds] * 3)))

    for kind, sampling, answer in in_engine(ask_all, max_requests=16, **settings):
        assert answer[:2] == expected[sampling is LONG][kind], kind
        if sampling is LONG:
            assert answer[1:] == (24, "length")


@pytest.mark.parametrize("name", NAMES)
def test_published_layouts_answer_as_in_generate(name):
    model, processor = oryx.load(REFERENCE / name, dtype="float32", device="cpu")
    prompts = [
        encode(processor, "Hello?"),
        encode(processor, "<image>\nWhat?", make_visual(seed=1)),
        encode(processor, "<image>\nAnd?", make_visual("video", seed=2, compression=4)),
    ]

    async def ask_all(engine):
        return await asyncio.gather(*(ask(engine, prompt, GREEDY) for prompt in prompts))

    answers = in_engine(ask_all, model=str(REFERENCE / name))
    assert [answer[:2] for answer in answers] == [generated(model, processor, p, 24) for p in prompts]


def test_settings_of_a_request_are_its_own(nano, kinds):
    prompt = kinds["image"]
    penalty = generated(*nano, prompt, 24, repetition_penalty=3.0, eos_token_id=None)
    plain = generated(*nano, prompt, 24, eos_token_id=None)
    assert penalty != plain

    async def ask_all(engine):
        def of(**settings):
            return ask(engine, prompt, Sampling(max_tokens=24, ignore_eos=True, **settings))

        return await asyncio.gather(
            of(),
            of(repetition_penalty=3.0),
            of(temperature=1.5, seed=1),
            of(temperature=1.5, seed=1),
            of(temperature=1.5, seed=2),
            of(temperature=1.5, top_k=1),
            of(temperature=1.5, top_p=1e-6),
        )

    greedy, penalised, one, same, other, top_k, top_p = in_engine(ask_all)
    assert greedy[:2] == top_k[:2] == top_p[:2] == plain
    assert penalised[:2] == penalty
    assert one == same != other
    assert one != greedy


def test_the_same_media_are_encoded_once_and_their_prefix_is_read_once(kinds, nano, monkeypatch):
    encoded, read = [], []
    model_type = type(nano[0])
    encode_views = model_type.encode_views
    monkeypatch.setattr(
        model_type, "encode_views", lambda self, *rest: encoded.append(1) or encode_views(self, *rest)
    )
    prompt = kinds["video at 4x"]

    async def ask_twice(engine):
        decoder = engine._running.batcher._decoder
        embed = decoder.embed
        decoder.embed = lambda ids: read.append(ids.shape[1]) or embed(ids)
        first = await ask(engine, prompt, GREEDY)
        num_first = sum(read)
        read.clear()
        return first, await ask(engine, prompt, GREEDY), num_first

    first, second, num_first = in_engine(ask_twice)
    assert first == second
    assert len(encoded) == 1
    num_answer = first[1] - 1  # the last token is not read any more
    assert num_first == len(prompt) + num_answer
    assert sum(read) <= 32 + num_answer  # but for the last page


def test_visuals_beyond_the_byte_budget_are_encoded_again(kinds, expected):
    async def ask_in_turns(engine):
        answers = []
        for _ in range(2):
            for kind in ("image", "video at 4x", "views"):
                answers.append((kind, await ask(engine, kinds[kind], GREEDY)))
        return answers, engine._running.visuals

    answers, visuals = in_engine(ask_in_turns, visual_bytes=0)
    assert all(answer[:2] == expected[0][kind] for kind, answer in answers)
    assert visuals.num_visuals <= 1  # the last, until a step goes by


def test_running_out_of_ids_lets_running_requests_end_and_starts_over(kinds, expected):
    """There are ids for the largest prompt alone, and all come at once."""
    num_needed = max(prompt.num_visual_tokens for prompt in kinds.values())

    async def ask_all(engine):
        order = [*kinds] * 2
        answers = await asyncio.gather(*(ask(engine, kinds[kind], LONG) for kind in order))
        return zip(order, answers, strict=True), engine._running.num_renewals

    answers, num_renewals = in_engine(ask_all, last_visual_id=694 + num_needed - 1)
    assert all(answer[:2] == expected[1][kind] for kind, answer in answers)
    assert num_renewals >= 2


def test_more_visual_tokens_than_there_are_ids_for_are_refused(kinds):
    async def ask_one(engine):
        with pytest.raises(ConfigError, match="ids for at most 10"):
            await ask(engine, kinds["image"], GREEDY)
        return await ask(engine, kinds["text"], GREEDY)

    assert in_engine(ask_one, last_visual_id=694 + 9)


def test_a_stop_text_ends_the_answer_and_its_place(kinds, expected):
    text, _ = expected[1]["image"]
    stop = text[3:5]

    async def ask_one(engine):
        answer = await ask(engine, kinds["image"], Sampling(max_tokens=4000, ignore_eos=True, stop=(stop,)))
        return answer, engine.num_unfinished

    (told, num_tokens, reason), num_unfinished = in_engine(ask_one)
    assert told == text[: text.index(stop)]
    assert reason == "stop"
    assert num_tokens <= len(text)
    assert num_unfinished == 0


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


def test_more_requests_than_places_wait_for_their_turn(kinds, expected):
    async def ask_all(engine):
        asked = [asyncio.create_task(ask(engine, kinds[kind], LONG)) for kind in kinds]
        await asyncio.sleep(0.01)
        return engine.num_unfinished, await asyncio.gather(*asked)

    num_unfinished, answers = in_engine(ask_all, max_requests=2)
    assert num_unfinished == len(kinds)
    assert [answer[:2] for answer in answers] == [expected[1][kind] for kind in kinds]


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


def test_stopping_ends_everything_and_starting_again_begins_anew(kinds, expected):
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

    assert asyncio.run(run())[:2] == expected[0]["image"]


def test_what_cannot_be_run_is_refused_before_it_runs(kinds):
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

    assert in_engine(ask_all)[2] == "stop"


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
        with pytest.raises(ConfigError, match="reads at most 64"):
            await ask(engine, kinds["image"], Sampling(max_tokens=1))
        return await ask(engine, kinds["text"], Sampling(max_tokens=64 - len(kinds["text"])))

    assert in_engine(ask_one, cache_tokens=64)


def test_a_model_that_cannot_be_loaded_leaves_the_engine_as_it_was():
    async def start():
        engine = TransformersEngine("no such model")
        with pytest.raises(oryx.errors.CheckpointError):
            await engine.start()
        await engine.stop()
        assert engine.num_unfinished == 0

    asyncio.run(start())
