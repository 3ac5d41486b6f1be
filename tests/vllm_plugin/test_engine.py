"""vLLM as an engine of the server gives the answers of `generate`, piece by piece."""

import asyncio
import itertools
from contextlib import aclosing
from dataclasses import replace

import pytest
import torch
from mixed_requests import MAX_TOKENS, mixed_requests

import oryx
from oryx.errors import ConfigError
from oryx.serving.engine import EngineStopped, Prompt, Sampling
from oryx.serving.engines.vllm import VllmEngine

NUM = 30
_ids = itertools.count()


@pytest.fixture(scope="module")
def loop():
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def engine(loop):
    engine = VllmEngine("nano", dtype="float32", max_positions=4096, max_requests=16)
    loop.run(engine.start())
    yield engine
    loop.run(engine.stop())


@pytest.fixture(scope="module")
def prompts():
    _, processor = oryx.load("nano")
    made = []
    for parts in mixed_requests(NUM):
        sample = processor.encode_messages([{"role": "user", "content": parts}])
        keys = tuple(f"{len(made)}-{index}" for index in range(len(sample.spans)))
        made.append(Prompt(sample, keys, sum(stop - start for start, stop in sample.spans)))
    return made


async def answer(engine, prompt, sampling):
    pieces = [piece async for piece in engine.generate(prompt, sampling, f"request-{next(_ids)}")]
    assert all(piece.finish_reason is None for piece in pieces[:-1])
    text, num_tokens = "".join(piece.text for piece in pieces), sum(piece.num_tokens for piece in pieces)
    return text, num_tokens, pieces[-1].finish_reason


def test_answers_are_those_of_generate(engine, prompts, loop):
    model, processor = oryx.load("nano", dtype="float32")
    sampling = Sampling(max_tokens=MAX_TOKENS)

    async def ask_all():
        return await asyncio.gather(*(answer(engine, prompt, sampling) for prompt in prompts))

    for (text, num_tokens, reason), parts in zip(loop.run(ask_all()), mixed_requests(NUM), strict=True):
        messages = [{"role": "user", "content": parts}]
        inputs = processor.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=True, return_dict=True
        )
        with torch.no_grad():
            ids = model.generate(**inputs, max_new_tokens=MAX_TOKENS, do_sample=False)
        ids = ids[0, inputs["input_ids"].shape[1] :]
        assert text == processor.tokenizer.decode(ids, skip_special_tokens=True)
        assert num_tokens == len(ids)
        assert reason == ("stop" if num_tokens < MAX_TOKENS else "length")


def test_an_answer_goes_on_after_its_end_if_told_so(engine, prompts, loop):
    _, num_tokens, reason = loop.run(answer(engine, prompts[1], Sampling(max_tokens=64, ignore_eos=True)))
    assert (num_tokens, reason) == (64, "length")


def test_a_stop_text_ends_the_answer_and_is_not_part_of_it(engine, prompts, loop):
    text, _, _ = loop.run(answer(engine, prompts[1], Sampling()))
    stop = text[2:4]
    cut, _, reason = loop.run(answer(engine, prompts[1], Sampling(stop=(stop,))))
    assert (cut, reason) == (text[: text.index(stop)], "stop")


def test_an_answer_that_nobody_waits_for_frees_its_place(engine, prompts, loop):
    async def leave():
        endless = Sampling(max_tokens=3000, ignore_eos=True)
        async with aclosing(engine.generate(prompts[0], endless, "left")) as pieces:
            await anext(pieces)
        return engine.num_unfinished

    assert loop.run(leave()) == 0
    assert loop.run(answer(engine, prompts[1], Sampling()))[0]


def test_what_does_not_fit_is_refused(prompts, loop, engine):
    small = VllmEngine("nano", max_positions=16)
    with pytest.raises(EngineStopped):
        loop.run(answer(small, prompts[1], Sampling()))
    tight = engine.max_positions
    engine.max_positions = len(prompts[1])
    try:
        with pytest.raises(ConfigError, match="the model reads at most"):
            loop.run(answer(engine, prompts[1], Sampling()))
    finally:
        engine.max_positions = tight


@pytest.mark.parametrize(
    ("sampling", "words"),
    [
        (Sampling(temperature=3.0), r"temperature must be in \[0, 2\]"),  # vLLM's own sentence
        (Sampling(temperature=-1.0), "temperature"),
        (Sampling(top_p=2.0), "top_p"),
        (Sampling(seed=-(2**70)), "seed"),
    ],
)
def test_what_vllm_refuses_is_one_sentence(engine, prompts, loop, sampling, words):
    with pytest.raises(ConfigError, match=words) as refused:
        loop.run(answer(engine, prompts[1], sampling))
    assert "\n" not in str(refused.value)
    assert loop.run(answer(engine, prompts[1], Sampling()))[0]


def test_what_the_processor_refuses_is_one_sentence(engine, prompts, loop):
    """vLLM raises an error without a word for it, and goes on."""
    image = next(prompt for prompt in prompts if len(prompt.keys) == 1)
    with pytest.raises(ConfigError, match=r"\w+ \w+"):
        loop.run(answer(engine, replace(image, keys=()), Sampling()))
    assert loop.run(answer(engine, image, Sampling()))[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"max_mode_len": 99}, "vLLM has no option --max-mode-len; did you mean '--max-model-len'"),
        ({"max_model_len": 1 << 30}, "max_model_len"),
        ({"kv_cache_memory_bytes": 1 << 60}, "vLLM cannot be started so: .*[Ee]ngine"),  # in its own process
    ],
)
def test_a_wrong_argument_is_one_sentence(loop, arguments, words):
    with pytest.raises(ConfigError, match=words):
        loop.run(VllmEngine("nano", arguments=arguments).start())


def test_a_revision_is_refused():
    with pytest.raises(ConfigError, match="--revision cannot be served"):
        VllmEngine("nano", arguments={"revision": "v1"})


def test_an_older_vllm_is_refused(loop, monkeypatch):
    monkeypatch.setattr("vllm.__version__", "0.31.2")
    with pytest.raises(ConfigError, match=r"it is 0\.31\.2, and oryx-mllm needs vLLM 0\.32"):
        loop.run(VllmEngine("nano").start())


def test_both_engines_compute_in_the_same_dtype_on_a_cpu(loop):
    engine = VllmEngine("nano", max_positions=2048, max_requests=2)
    loop.run(engine.start())
    try:
        assert engine._llm.model_config.dtype == oryx.load("nano", device="cpu")[0].dtype
    finally:
        loop.run(engine.stop())
