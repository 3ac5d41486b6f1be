"""Generation: batches, beams, samples and streams, each against another way to the same ids."""

import threading

import pytest
import torch
from factories import (
    BACKBONES,
    IMAGE_TOKEN_ID,
    encode,
    make_config,
    make_conversation,
    make_model,
    make_processor,
    make_visual,
    unlike_samples,
)
from transformers import GenerationConfig, TextIteratorStreamer

from oryx.errors import ConfigError
from oryx.model.cache_name import CACHE, CACHE_NAMES
from oryx.model.modeling import VISUAL_KEYS

NUM_NEW = 6


@pytest.fixture(scope="module")
def processor():
    return make_processor()


@pytest.fixture(scope="module", params=BACKBONES)
def model(request):
    return make_model(make_config(request.param))


@pytest.fixture(scope="module")
def qwen():
    return make_model()


def encode_open(processor, samples, **kwargs):
    return encode(processor, samples, supervise=None, **kwargs)


@pytest.fixture
def samples():
    return unlike_samples(None)


def generate(model, batch, **kwargs):
    settings = {"max_new_tokens": NUM_NEW, "do_sample": False, **kwargs}
    ids = model.generate(**batch, **settings)
    return ids[:, batch["input_ids"].shape[1] :]


def greedy_by_hand(model, batch, process=lambda ids, logits: logits, num_steps=NUM_NEW):
    """No cache, no generate(): the whole sequence through forward() for every token of one row."""
    ids = batch["input_ids"]
    visuals = {key: batch[key] for key in VISUAL_KEYS if key in batch}
    with torch.no_grad():
        for _ in range(num_steps):
            logits = model(input_ids=ids, **visuals).logits[0, -1].clone()
            logits[IMAGE_TOKEN_ID:] = float("-inf")
            ids = torch.cat([ids, process(ids, logits).argmax()[None, None]], 1)
    return ids[:, batch["input_ids"].shape[1] :]


def test_greedy_equals_the_full_forward(model, processor, samples):
    batch = encode_open(processor, samples[2:3])
    expected = greedy_by_hand(model, batch)
    assert torch.equal(generate(model, batch), expected)
    assert torch.equal(generate(model, batch, use_cache=False), expected)


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_batch_of_unlike_samples_equals_each_alone(model, processor, samples, side):
    """Generation needs left padding; right-padded batches are only equal where no row is padded."""
    chosen = samples if side == "left" else [samples[3], samples[3]]
    batch = encode_open(processor, chosen, padding_side=side)
    together = generate(model, batch)
    alone = [generate(model, encode_open(processor, [sample]))[0] for sample in chosen]
    assert torch.equal(together, torch.stack(alone))
    assert len({tuple(row.tolist()) for row in together}) > 1 or side == "right"


@pytest.mark.parametrize("use_cache", [True, False])
def test_beams_equal_those_over_fused_embeddings(model, processor, samples, use_cache):
    """The language model's own beam search over rows that were fused beforehand knows nothing of visuals."""
    settings = {"num_beams": 3, "num_return_sequences": 2, "max_new_tokens": NUM_NEW, "do_sample": False}
    settings |= {"use_cache": use_cache, "suppress_tokens": [IMAGE_TOKEN_ID], "pad_token_id": 0}
    batch = encode_open(processor, samples[:4])
    embeds, spans = model.get_visual_embeds(**{key: batch[key] for key in VISUAL_KEYS})
    fused = model.fuse(batch["input_ids"], embeds, spans).detach()
    expected = model.language_model.generate(
        inputs_embeds=fused, attention_mask=batch["attention_mask"], **settings
    )
    assert torch.equal(model.generate(**batch, **settings)[:, batch["input_ids"].shape[1] :], expected)


@pytest.mark.parametrize("use_cache", [True, False])
def test_every_sampled_sequence_comes_from_its_own_visuals(qwen, processor, samples, use_cache):
    """Logits of every step of every sample equal a fresh forward over its prompt and what it has said."""
    torch.manual_seed(0)
    chosen = [samples[1], samples[0], samples[4]]
    batch = encode_open(processor, chosen)
    out = qwen.generate(
        **batch,
        do_sample=True,
        num_return_sequences=3,
        max_new_tokens=NUM_NEW,
        use_cache=use_cache,
        output_logits=True,
        return_dict_in_generate=True,
    )
    new = out.sequences[:, batch["input_ids"].shape[1] :]
    assert len({tuple(row.tolist()) for row in new}) > len(chosen)
    for row, said in enumerate(new):
        alone = encode_open(processor, [chosen[row // 3]])
        alone["input_ids"] = torch.cat([alone["input_ids"], said[None]], 1)
        alone.pop("attention_mask")
        with torch.no_grad():
            expected = qwen(**alone).logits[0, -NUM_NEW - 1 : -1]
        actual = torch.stack([step[row] for step in out.logits])
        torch.testing.assert_close(actual, expected, atol=5e-5, rtol=1e-4)


def test_visuals_are_encoded_once(qwen, processor, samples, monkeypatch):
    calls = []
    encode_views = qwen.encode_views
    monkeypatch.setattr(qwen, "encode_views", lambda *args: calls.append(1) or encode_views(*args))
    batch = encode_open(processor, samples[:3])
    for settings in ({}, {"num_beams": 2}, {"use_cache": False}):
        calls.clear()
        generate(qwen, batch, **settings)
        assert len(calls) == 1


def test_given_embeddings_equal_patches(qwen, processor, samples):
    batch = encode_open(processor, samples[:4])
    visuals = {key: batch[key] for key in VISUAL_KEYS}
    embeds, _ = qwen.get_visual_embeds(**visuals)
    text = {key: value for key, value in batch.items() if key not in VISUAL_KEYS}
    assert torch.equal(generate(qwen, {**text, "visual_embeds": embeds}), generate(qwen, batch))


@pytest.mark.parametrize("name", CACHE_NAMES)
def test_a_conversation_goes_on_from_its_cache(qwen, processor, name):
    """A second turn with a second picture: only what the cache lacks is run, with its own visuals."""
    first = make_conversation("<image>\nWhat?")
    batch = encode_open(processor, [(first, [make_visual(seed=1)])])
    out = qwen.generate(**batch, max_new_tokens=NUM_NEW, do_sample=False, return_dict_in_generate=True)
    more = encode_open(processor, [(make_conversation("<image>And this?"), [make_visual(seed=2)])])
    ids = torch.cat([out.sequences, more["input_ids"]], 1)
    visuals = {key: torch.cat([batch[key], more[key]]) for key in VISUAL_KEYS}
    expected = generate(qwen, {"input_ids": ids, **visuals})
    assert out[CACHE].get_seq_length() == out.sequences.shape[1] - 1
    actual = generate(qwen, {"input_ids": ids, **visuals}, **{name: out[CACHE]})
    assert torch.equal(actual, expected)


def test_a_stream_says_what_generate_returns(qwen, processor, samples):
    batch = encode_open(processor, samples[1:2])
    expected = processor.batch_decode(generate(qwen, batch), skip_special_tokens=True)[0]
    streamer = TextIteratorStreamer(processor.tokenizer, skip_prompt=True, skip_special_tokens=True)
    arguments = {**batch, "streamer": streamer, "max_new_tokens": NUM_NEW, "do_sample": False}
    thread = threading.Thread(target=qwen.generate, kwargs=arguments)
    thread.start()
    pieces = list(streamer)
    thread.join()
    assert "".join(pieces) == expected


@pytest.mark.parametrize("vocab_size", [IMAGE_TOKEN_ID, IMAGE_TOKEN_ID + 1], ids=["outside", "inside"])
def test_repetition_penalty(processor, samples, vocab_size):
    model = make_model(make_config(vocab_size=vocab_size))
    batch = encode_open(processor, samples[1:2])

    def penalise(ids, logits):
        seen = ids[ids < len(logits)].unique()
        logits[seen] = torch.where(logits[seen] < 0, logits[seen] * 3.0, logits[seen] / 3.0)
        return logits

    steps = 16  # long enough to fall into a loop without the penalty
    expected = greedy_by_hand(model, batch, penalise, steps)
    assert not torch.equal(expected, greedy_by_hand(model, batch, num_steps=steps))
    assert torch.equal(generate(model, batch, repetition_penalty=3.0, max_new_tokens=steps), expected)


@pytest.mark.parametrize(
    "settings", [{}, {"num_beams": 2}, {"do_sample": True}, {"num_beams": 2, "do_sample": True}]
)
def test_the_placeholder_is_never_generated(processor, samples, settings):
    model = make_model()

    def prefer_the_placeholder(_, args, logits):
        logits[..., IMAGE_TOKEN_ID] += 1e4
        return logits

    model.get_output_embeddings().register_forward_hook(prefer_the_placeholder)
    ids = generate(model, encode_open(processor, samples[:2]), **settings)
    assert not (ids == IMAGE_TOKEN_ID).any()


@pytest.mark.parametrize("where", ["argument", "config"])
def test_prefill_in_chunks_is_refused(qwen, processor, samples, where):
    batch = encode_open(processor, samples[1:2])
    settings = {"prefill_chunk_size": 8}
    if where == "config":
        settings = {"generation_config": GenerationConfig(prefill_chunk_size=8)}
    with pytest.raises(ConfigError, match="prefill_chunk_size is not supported"):
        generate(qwen, batch, **settings)


def test_text_only(qwen, processor, samples):
    batch = encode_open(processor, samples[:1])
    expected = greedy_by_hand(qwen, batch)
    assert torch.equal(generate(qwen, batch), expected)
    assert torch.equal(
        qwen.generate(batch["input_ids"], max_new_tokens=NUM_NEW, do_sample=False)[:, -NUM_NEW:], expected
    )


def test_generate_makes_no_gradient(qwen, processor, samples):
    out = qwen.generate(
        **encode_open(processor, samples[1:2]),
        max_new_tokens=2,
        output_logits=True,
        return_dict_in_generate=True,
    )
    assert not out.logits[0].requires_grad
