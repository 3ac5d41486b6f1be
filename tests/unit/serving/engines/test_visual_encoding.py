"""Visuals of a prompt, one by one and in chunks, are those that the model makes of all in one pass."""

import asyncio
import threading

import numpy as np
import pytest
import torch
from engine_requests import as_prompt
from factories import make_model, make_processor, unlike_samples

from oryx.errors import AlignmentError
from oryx.processing.collate import pad_batch
from oryx.serving.engine import EngineStopped
from oryx.serving.engines import visual_encoding
from oryx.serving.engines.visual_encoding import Abandoned, EncoderThread, encode_visual, pin_visuals
from oryx.serving.engines.visual_encoding import with_visual_ids as with_ids
from oryx.serving.engines.visual_ids import IdsExhausted, VisualIds

FIRST = 300


@pytest.fixture(scope="module")
def model():
    return make_model()


@pytest.fixture(scope="module")
def prompts():
    processor = make_processor()
    samples = [processor.encode_sample(turns, visuals) for turns, visuals in unlike_samples(None)]
    return [as_prompt(sample) for sample in samples]


@pytest.fixture
def visuals():
    return VisualIds(FIRST, 10**9)


@pytest.mark.parametrize("chunk_patches", [1, 10**6])
def test_embeddings_are_those_of_one_pass(model, prompts, monkeypatch, chunk_patches):
    monkeypatch.setattr(visual_encoding, "CHUNK_PATCHES", chunk_patches)
    for prompt in prompts[1:]:
        batch = pad_batch([prompt.sample], 0)
        names = ("patches", "grids", "compressions", "visual_lengths", "visual_kinds")
        with torch.no_grad():
            embeds, spans = model.get_visual_embeds(*(batch[name] for name in names))
        for number, expected in enumerate(embeds.split(spans)):
            torch.testing.assert_close(encode_visual(model, prompt.sample, number), expected)


def test_ids_stand_where_the_placeholders_were(model, prompts, visuals):
    for prompt in prompts:
        runs = pin_visuals(model, prompt, visuals)
        ids = np.array(with_ids(prompt, runs, FIRST, 260))
        expected = prompt.sample.ids.copy()
        for (start, stop), run in zip(prompt.sample.spans, runs, strict=True):
            expected[start:stop] = run
        assert (ids == expected).all()
        assert (ids >= FIRST).sum() == prompt.num_visual_tokens


def test_a_visual_that_is_there_is_not_encoded_again(model, prompts, visuals, monkeypatch):
    thread = EncoderThread(model, visuals)

    async def pin_twice():
        first = await thread.pin(prompts[2])
        monkeypatch.setattr(type(model), "encode_views", None)
        return first, await thread.pin(prompts[2])

    first, second = asyncio.run(pin_twice())
    assert first == second
    thread.unpin(prompts[2])
    thread.unpin(prompts[2])
    thread.forget()
    assert visuals.num_visuals == 0
    thread.close()


def test_no_pin_is_left_where_ids_run_out(model, prompts):
    prompt = prompts[2]  # two images
    (start, stop), _ = prompt.sample.spans
    visuals = VisualIds(FIRST, 0, last_id=FIRST + stop - start - 1)  # for the first of them
    with pytest.raises(IdsExhausted):
        pin_visuals(model, prompt, visuals)
    assert visuals.num_visuals == 1
    visuals.end_step()
    assert visuals.num_visuals == 0


def test_encoding_is_given_up_between_chunks(model, prompts, monkeypatch):
    monkeypatch.setattr(visual_encoding, "CHUNK_PATCHES", 1)
    asked = []

    def is_abandoned():
        asked.append(1)
        return len(asked) == 2

    with pytest.raises(Abandoned):
        encode_visual(model, prompts[3].sample, 0, is_abandoned)
    assert len(asked) == 2


def test_closing_gives_up_what_is_being_encoded(model, prompts, visuals, monkeypatch):
    monkeypatch.setattr(visual_encoding, "CHUNK_PATCHES", 1)
    begun, go_on = threading.Event(), threading.Event()
    encode_views = type(model).encode_views

    def wait(self, *rest):
        begun.set()
        go_on.wait()
        return encode_views(self, *rest)

    monkeypatch.setattr(type(model), "encode_views", wait)

    async def close():
        thread = EncoderThread(model, visuals)
        pinned = asyncio.create_task(thread.pin(prompts[3]))
        await asyncio.to_thread(begun.wait)
        closed = asyncio.create_task(asyncio.to_thread(thread.close))
        while not thread._closed.is_set():
            await asyncio.sleep(0)
        go_on.set()
        await closed
        with pytest.raises(EngineStopped):
            await pinned

    asyncio.run(close())
    assert visuals.num_visuals == 0


def test_after_closing_there_is_no_engine(model, prompts, visuals):
    thread = EncoderThread(model, visuals)
    thread.close()
    with pytest.raises(EngineStopped):
        asyncio.run(thread.pin(prompts[1]))


def test_positions_that_do_not_fit_are_refused(model, prompts, visuals):
    prompt = prompts[1]
    (run,) = pin_visuals(model, prompt, visuals)
    with pytest.raises(AlignmentError, match=r"visual 0 has \d+ positions in the prompt, but 3 embeddings"):
        with_ids(prompt, [run[:3]], FIRST, 260)
    for strange in (-1, FIRST, 260):
        sample = type(prompt.sample)(**{**vars(prompt.sample), "ids": prompt.sample.ids.copy()})
        sample.ids[-1] = strange
        with pytest.raises(AlignmentError, match="1 positions that are neither text nor"):
            with_ids(type(prompt)(sample, prompt.keys, prompt.num_visual_tokens), [run], FIRST, 260)


def test_a_prompt_without_patches_is_refused(model, prompts):
    sample = type(prompts[1].sample)(**{**vars(prompts[1].sample), "patches": None})
    with pytest.raises(AlignmentError, match="no patches"):
        encode_visual(model, sample, 0)
