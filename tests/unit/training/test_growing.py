from copy import deepcopy

import pytest
import torch
from PIL import Image
from transformers import AutoConfig

from oryx.errors import ConfigError
from oryx.training.building import build_model
from oryx.training.growing import grow, grown_config
from oryx.training.recipe import load_recipe
from oryx.training.sections.grow import GrowSection


@pytest.fixture
def small(recipe_file):
    return build_model(load_recipe(recipe_file))


def logits(model, processor):
    image = Image.linear_gradient("L").resize((48, 32)).convert("RGB")
    turns = [
        {"from": "human", "value": "<image>\nWhat color is it? 12"},
        {"from": "gpt", "value": "red ring"},
    ]
    batch = processor.encode_conversation([turns], [[{"type": "image", "image": image}]])
    with torch.no_grad():
        return model.eval()(**batch).logits


@pytest.mark.parametrize(("vision", "text"), [(3, None), (None, 4), (4, 3)])
def test_a_deeper_model_answers_as_before(small, vision, text):
    model, processor = small
    grown, same = grow(model, processor, GrowSection(vision_layers=vision, text_layers=text), seed=0)
    assert same is processor
    assert len(grown.vision_tower.blocks) == (vision or 2)
    assert len(grown.language_model.model.layers) == (text or 2)
    before, after = logits(model, processor), logits(grown, processor)
    torch.testing.assert_close(after, before)


def test_a_new_block_is_a_copy_that_says_nothing_yet(small):
    model, processor = small
    grown, _ = grow(model, processor, GrowSection(vision_layers=3), seed=0)
    old, new = model.vision_tower.blocks, grown.vision_tower.blocks
    assert torch.equal(new[2].mlp.fc1.weight, old[1].mlp.fc1.weight)
    assert not new[2].mlp.fc2.weight.any()
    assert not new[2].attn.proj.bias.any()
    assert new[1].mlp.fc2.weight.any()


def test_layers_keep_their_kinds_of_attention(small):
    model, _ = small
    config = deepcopy(model.config)
    config.text_config.layer_types = ["sliding_attention", "full_attention"]
    grown = grown_config(config, GrowSection(text_layers=4))
    kinds = ["sliding_attention"] * 2 + ["full_attention"] * 2
    assert grown.text_config.layer_types == kinds


def test_layers_that_differ_in_another_way_are_refused(small):
    model, _ = small
    config = deepcopy(model.config)
    config.text_config = AutoConfig.for_model("smollm3", num_hidden_layers=4)
    with pytest.raises(ConfigError, match=r"model.grow.text_layers cannot grow .* has no_rope_layers"):
        grown_config(config, GrowSection(text_layers=5))


def test_its_gradient_wakes_it(small):
    model, processor = small
    grown, _ = grow(model, processor, GrowSection(text_layers=4), seed=0)
    grown.train()
    grown(input_ids=torch.full((1, 8), 5), labels=torch.full((1, 8), 5)).loss.backward()
    assert grown.language_model.model.layers[1].mlp.down_proj.weight.grad.abs().sum() > 0


def test_known_words_keep_their_embeddings(small):
    model, processor = small
    section = GrowSection(spelling_samples=200, max_positions=99)
    grown, larger = grow(model, processor, section, seed=0)
    old, new = processor.tokenizer.get_vocab(), larger.tokenizer.get_vocab()
    assert len(new) > len(old)
    assert grown.config.image_token_id == larger.image_token_id == new[processor.image_token]
    assert grown.config.text_config.max_position_embeddings == 99
    shared = [token for token in old if token in new]
    assert {"<|im_start|>", "<|image_pad|>", "a", "assistant"} <= set(shared)
    for table, grown_table in (
        (model.get_input_embeddings(), grown.get_input_embeddings()),
        (model.get_output_embeddings(), grown.get_output_embeddings()),
    ):
        before = table.weight[[old[token] for token in shared]]
        assert torch.equal(grown_table.weight[[new[token] for token in shared]], before)


def test_a_recipe_grows_the_model_that_it_begins_from(small, settings, write_recipe, tmp_path):
    model, processor = small
    model.save_pretrained(tmp_path / "small")
    processor.save_pretrained(tmp_path / "small")
    settings["model"] = {"from": str(tmp_path / "small"), "grow": {"text_layers": 3}}
    grown, _ = build_model(load_recipe(write_recipe(settings)))
    assert grown.config.text_config.num_hidden_layers == 3


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"vision_layers": 1}, "model.grow.vision_layers is 1; it must be from 2 to 4"),
        ({"text_layers": 5}, "model.grow.text_layers is 5; it must be from 2 to 4"),
    ],
)
def test_impossible_sizes(small, section, said):
    with pytest.raises(ConfigError, match=said):
        grow(*small, GrowSection(**section), seed=0)


def test_an_empty_section():
    with pytest.raises(ConfigError, match="grow is empty"):
        GrowSection()


def test_only_a_spelling_tokenizer_is_replaced(small, monkeypatch):
    monkeypatch.setattr("oryx.training.growing._MOST_WORDS", 10)
    with pytest.raises(ConfigError, match="replaces a spelling tokenizer"):
        grow(*small, GrowSection(spelling_samples=5), seed=0)
