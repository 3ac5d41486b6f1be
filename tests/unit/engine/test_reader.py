"""Answers do not depend on what was read before, nor on how long the pieces are; and little is read twice."""

import numpy as np
import pytest
import torch
from factories import BACKBONES, make_config, make_model, make_processor

from oryx.engine.reader import Reader
from oryx.errors import ConfigError

EMBEDS = 40


@pytest.fixture(scope="module")
def processor():
    return make_processor()


def prompt(model, processor, question, num_visual=EMBEDS, changed_from=None, seed=0):
    """(ids, columns, embeds) of a prompt about visual positions that differ from one on."""
    text = processor.tokenizer(question, return_tensors="np")["input_ids"][0].astype(np.int64)
    ids = np.concatenate([[65, 66], np.full(num_visual, model.config.image_token_id), text]).astype(np.int64)
    columns = ids.copy()
    columns[2 : 2 + num_visual] = -1 - np.arange(num_visual)
    embeds = torch.randn(num_visual, 32, generator=torch.Generator().manual_seed(0))
    if changed_from is not None:
        columns[2 + changed_from : 2 + num_visual] -= (seed + 1) << 32
        other = torch.randn(num_visual, 32, generator=torch.Generator().manual_seed(seed + 1))
        embeds = torch.cat([embeds[:changed_from], other[changed_from:]])
    return ids, columns, embeds


def plain(model, processor, ids, embeds, number=8):
    ids = torch.from_numpy(ids)[None]
    out = model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), visual_embeds=embeds, max_new_tokens=number
    )
    return processor.tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True).strip()


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("piece", [7, 1000])
def test_answers_are_those_of_a_whole_prompt(processor, backbone, piece):
    model = make_model(make_config(backbone))
    reader = Reader(model, processor, piece)
    cases = [
        ("Where?", None, 0),
        ("Where?", 10, 0),
        ("Who is it?", 10, 1),
        ("Where?", 30, 2),
        ("Where?", None, 0),
    ]
    for question, changed_from, seed in cases:
        ids, columns, embeds = prompt(model, processor, question, changed_from=changed_from, seed=seed)
        said = reader.answer(ids, columns, embeds, 8)
        assert said == plain(model, processor, ids, embeds)


def test_what_prompts_share_is_read_once(processor):
    model = make_model()
    reader = Reader(model, processor, 16)
    ids, columns, embeds = prompt(model, processor, "Where?", changed_from=30, seed=0)
    reader.answer(ids, columns, embeds, 2)
    assert reader.num_read == len(ids) - 1
    ids, columns, embeds = prompt(model, processor, "Where?", changed_from=30, seed=1)
    reader.answer(ids, columns, embeds, 2)
    assert reader.num_read == 2 * (len(ids) - 1) - 32  # two ids and thirty positions


def test_pieces_are_no_longer_than_asked(processor, monkeypatch):
    model = make_model()
    lengths = []
    forward = model.language_model.forward

    def remember(*args, **kwargs):
        lengths.append(kwargs["inputs_embeds"].shape[1])
        return forward(*args, **kwargs)

    monkeypatch.setattr(model.language_model, "forward", remember)
    ids, columns, embeds = prompt(model, processor, "Where?")
    Reader(model, processor, 16).answer(ids, columns, embeds, 2)
    assert max(lengths) == 16
    assert sum(lengths) >= len(ids)


def test_positions_that_depend_on_the_length_are_read_anew(processor):
    rope = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}
    model = make_model(make_config(rope_parameters=rope, max_position_embeddings=64))
    reader = Reader(model, processor)
    model.config.text_config.max_position_embeddings = 4096
    ids, columns, embeds = prompt(model, processor, "Where?")
    for _ in range(2):
        assert reader.answer(ids, columns, embeds, 4) == plain(model, processor, ids, embeds, 4)
    assert reader.num_read == 2 * len(ids)


def test_a_prompt_that_is_too_long_is_refused(processor):
    model = make_model(make_config(max_position_embeddings=50))
    ids, columns, embeds = prompt(model, processor, "Where?")
    with pytest.raises(ConfigError, match="reads at most 50"):
        Reader(model, processor).answer(ids, columns, embeds, 8)
