"""Prompts, answers and losses, against the package's own processor and model."""

import numpy as np
import pytest
import torch
from factories import make_model, make_picture, make_processor

from oryx.engine.cache import VisualTokenCache
from oryx.errors import MediaError
from oryx.evaluation.lmms.answering import answer_loss, generate_answers
from oryx.evaluation.lmms.generation import Generation
from oryx.evaluation.lmms.messages import read_messages
from oryx.evaluation.lmms.prompts import PromptEncoder, PromptTooLongError, render_prompt
from oryx.evaluation.lmms.settings import PluginSettings

FRAMES = [make_picture(40, 64, seed) for seed in range(3)]


@pytest.fixture(scope="module")
def pair():
    processor = make_processor()
    model = make_model()
    model.config.image_token_id = processor.image_token_id
    return model.eval(), processor


def encoder(pair, **settings):
    return PromptEncoder(*pair, PluginSettings.parse(settings))


def messages(*visuals, text="What is it?"):
    return read_messages([{"role": "user", "content": [*visuals, {"type": "text", "text": text}]}])


def picture(seed=0):
    return {"type": "image", "url": make_picture(seed=seed)}


def whole(pair, asked, **settings):
    """Ids of the same messages, patches and all, by the processor."""
    settings = {"prompt_style": "eval", **settings}
    return pair[1].encode_messages(asked, **settings)


def test_ids_are_the_processors(pair):
    asked = messages(picture(), picture(1), {"type": "video", "url": FRAMES})
    prompt = encoder(pair).encode(asked, 4)
    expected = whole(pair, asked)
    assert np.array_equal(prompt.ids, expected.ids)
    assert prompt.embeds.shape[0] == sum(stop - start for start, stop in expected.spans)


def test_dials_and_style_are_those_of_the_settings(pair):
    asked = messages({"type": "video", "url": FRAMES})
    prompt = encoder(pair, compression=16, prompt_style="train").encode(asked, 4)
    assert np.array_equal(prompt.ids, whole(pair, asked, compression=16, prompt_style="train").ids)


def test_a_part_keeps_its_own_dials(pair):
    video = {"type": "video", "url": FRAMES, "compression": 1}
    prompt = encoder(pair, compression=16).encode(messages(video), 4)
    assert np.array_equal(prompt.ids, whole(pair, messages(video), compression=16).ids)


def test_a_budget_is_kept(pair):
    asked = messages({"type": "video", "url": FRAMES})
    costly, cheap = (encoder(pair, **dials).encode(asked, 4) for dials in ({}, {"budget": 14}))
    assert len(cheap.embeds) <= 14 < len(costly.embeds)


def test_text_alone(pair):
    prompt = encoder(pair).encode(messages(), 4)
    assert prompt.embeds is None
    assert generate_answers(encoder(pair), [prompt], Generation(3))[0].prompt_tokens == len(prompt.ids)


def test_a_marker_in_the_question_is_text(pair):
    prompt = encoder(pair).encode(messages(picture(), text="What does <image> mean?"), 4)
    assert len(prompt.sample.spans) == 1


def test_a_visual_is_encoded_once(pair):
    cache = VisualTokenCache()
    own = PromptEncoder(*pair, PluginSettings(), cache)
    first, second = (own.encode(messages(picture(), text=text), 4) for text in ("What?", "Where?"))
    assert (cache.stats.hits, cache.stats.misses) == (1, 1)
    assert torch.equal(first.embeds, second.embeds)


def test_the_prompt_as_text(pair):
    asked = messages(picture(), text="Why?")
    prompt = encoder(pair).encode(asked, 4)
    text = render_prompt(pair[1], prompt.sample)
    (start, stop) = prompt.sample.spans[0]
    assert f"<2 views, {stop - start} tokens>" in text
    assert pair[1].image_token not in text


def test_answers_are_those_of_generate(pair):
    model, processor = pair
    asked = [
        messages(picture(seed), text=text) for seed, text in enumerate(("What?", "Where is it now?", "Why?"))
    ]
    own = encoder(pair)
    prompts = [own.encode(one, 6) for one in asked]
    expected = []
    for one in asked:
        batch = processor.apply_chat_template(
            one, add_generation_prompt=True, tokenize=True, return_dict=True, prompt_style="eval"
        )
        ids = model.generate(**batch, max_new_tokens=6)[:, batch["input_ids"].shape[1] :]
        expected.append(processor.tokenizer.decode(ids[0], skip_special_tokens=True).strip())
    alone = [generate_answers(own, [prompt], Generation(6))[0].text for prompt in prompts]
    together = [answer.text for answer in generate_answers(own, prompts, Generation(6))]
    assert alone == expected
    assert together == expected


def test_the_loss_is_the_models_own(pair):
    model, processor = pair
    own, asked = encoder(pair), messages(picture())
    prompt = own.encode(asked, 8)
    loss, is_greedy = answer_loss(own, prompt, " red circle")
    batch = processor.encode_conversation(
        [{"from": "human", "value": "<image>\nWhat is it?"}, {"from": "gpt", "value": "red circle"}],
        [{"type": "image", "image": make_picture()}],
        prompt_style="eval",
    )
    labels = batch.pop("labels")[0]
    where = (labels != -100).nonzero()[:-1, 0]  # without the end of the turn
    with torch.no_grad():
        logits = model(**batch).logits[0].float()
    expected = torch.nn.functional.cross_entropy(logits[where - 1], labels[where])
    assert loss == pytest.approx(float(expected), abs=1e-5)
    assert is_greedy == bool((logits[where - 1].argmax(-1) == labels[where]).all())


def test_the_greedy_answer_is_known_as_such(pair):
    model, processor = pair
    own = encoder(pair)
    for seed in range(20):  # until the likeliest token is a text that is read back as itself
        prompt = own.encode(messages(picture(seed)), 8)
        ids = torch.from_numpy(prompt.ids)[None]
        with torch.no_grad():
            logits = model(input_ids=ids, visual_embeds=prompt.embeds, logits_to_keep=1).logits[0, -1]
        likeliest, unlikely = (processor.tokenizer.decode(place) for place in (logits.argmax(), 33))
        if processor.chat_encoder("eval").text_ids(likeliest.lstrip()) == [int(logits.argmax())]:
            break
    assert answer_loss(own, prompt, likeliest)[1]
    assert not answer_loss(own, prompt, unlikely)[1]
    assert answer_loss(own, prompt, " ") == (0.0, True)


def test_what_cannot_be_encoded_is_a_sentence(pair, tmp_path):
    with pytest.raises(MediaError, match="gone"):
        encoder(pair).encode(messages({"type": "video", "url": str(tmp_path / "gone.mp4")}), 4)
    with pytest.raises(PromptTooLongError, match="the model reads at most"):
        encoder(pair).encode(messages(picture()), 10**9)
