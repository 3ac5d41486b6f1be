"""The engine gives the answers of `generate`, alone and among others, whatever has to make way for them."""

import asyncio

import pytest
from engine_requests import ask, encode, generated, in_engine
from factories import make_visual
from reference_cases import NAMES, REFERENCE

import oryx
from oryx.errors import ConfigError
from oryx.serving.engine import Sampling
from oryx.serving.engines.room import Room

GREEDY = Sampling(max_tokens=24)
LONG = Sampling(max_tokens=24, ignore_eos=True)


@pytest.fixture(scope="session")
def expected(nano, kinds):
    """(text, tokens) of `generate` for each kind, up to the end and on."""
    ended = {kind: generated(*nano, prompt, 24) for kind, prompt in kinds.items()}
    went_on = {kind: generated(*nano, prompt, 24, eos_token_id=None) for kind, prompt in kinds.items()}
    return ended, went_on


def test_answers_are_those_of_generate_alone(kinds, expected, in_shared_engine):
    async def ask_all(engine):
        return {kind: await ask(engine, prompt, GREEDY) for kind, prompt in kinds.items()}

    for kind, (text, num_tokens, reason) in in_shared_engine(ask_all).items():
        assert (text, num_tokens) == expected[0][kind], kind
        assert reason == ("stop" if num_tokens < 24 else "length")


@pytest.mark.parametrize("is_tight", [False, True])
def test_answers_are_those_of_generate_among_others_that_come_and_go(
    kinds, expected, is_tight, in_shared_engine
):
    """Also where prompts are read in parts of 24 positions, and there is room for few at a time."""

    async def ask_all(engine):
        async def later(number, kind):
            await asyncio.sleep(0.004 * number)
            sampling = LONG if number % 2 else GREEDY
            return kind, sampling, await ask(engine, kinds[kind], sampling)

        return await asyncio.gather(*(later(number, kind) for number, kind in enumerate([*kinds] * 3)))

    tight = {"max_batch_tokens": 24, "cache_tokens": 512}
    for kind, sampling, answer in in_engine(ask_all, **tight) if is_tight else in_shared_engine(ask_all):
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


def test_settings_of_a_request_are_its_own(nano, kinds, in_shared_engine):
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

    greedy, penalised, one, same, other, top_k, top_p = in_shared_engine(ask_all)
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


def test_a_stop_text_ends_the_answer_and_its_place(kinds, expected, in_shared_engine):
    text, _ = expected[1]["image"]
    stop = text[3:5]

    async def ask_one(engine):
        answer = await ask(engine, kinds["image"], Sampling(max_tokens=4000, ignore_eos=True, stop=(stop,)))
        return answer, engine.num_unfinished

    (told, num_tokens, reason), num_unfinished = in_shared_engine(ask_one)
    assert told == text[: text.index(stop)]
    assert reason == "stop"
    assert num_tokens <= len(text)
    assert num_unfinished == 0


def test_more_requests_than_places_wait_for_their_turn(kinds, expected):
    async def ask_all(engine):
        asked = [asyncio.create_task(ask(engine, kinds[kind], LONG)) for kind in kinds]
        await asyncio.sleep(0.01)
        return engine.num_unfinished, await asyncio.gather(*asked)

    num_unfinished, answers = in_engine(ask_all, max_requests=2)
    assert num_unfinished == len(kinds)
    assert [answer[:2] for answer in answers] == [expected[1][kind] for kind in kinds]


def test_requests_that_are_taken_out_for_want_of_pages_are_read_again(kinds, expected):
    """Room is given out so that this does not happen; models with pages of two sizes may come to it."""

    async def ask_all(engine):
        engine._running.room = Room(16, 10**6)  # more than there is
        taken_out = []
        manager = engine._running.batcher._manager
        scheduler = manager.batch_processor.scheduler
        add_waiting_request = scheduler.add_waiting_request
        scheduler.add_waiting_request = lambda state: (
            taken_out.append(state.generated_tokens or state._true_initial_tokens),
            add_waiting_request(state),
        )
        asked = [*kinds]
        sampling = Sampling(max_tokens=64, ignore_eos=True)
        answers = await asyncio.gather(*(ask(engine, kinds[kind], sampling) for kind in asked))
        # Where all that run leave while others are kept out, the others still get in.
        scheduler.block_new_requests = True
        return zip(asked, answers, strict=True), taken_out, await ask(engine, kinds["image"], LONG)

    answers, taken_out, last = in_engine(ask_all, cache_tokens=512)
    assert any(taken_out)
    assert last[:2] == expected[1]["image"]
    for kind, (text, num_tokens, reason) in answers:
        assert text.startswith(expected[1][kind][0]), kind
        assert (num_tokens, reason) == (64, "length")
