"""Models as recipes describe them, and descriptions that fit no model."""

import pytest
import torch

import oryx
from oryx.errors import CheckpointError, ConfigError
from oryx.model.modeling import OryxForConditionalGeneration
from oryx.training.building import build_model, build_processor
from oryx.training.recipe import load_recipe


@pytest.fixture
def build(recipe_file):
    return lambda *overrides: build_model(load_recipe(recipe_file, overrides))


def test_a_new_model_fits_its_tokenizer_and_rule(build):
    model, processor = build()
    assert model.config.text_config.vocab_size == len(processor.tokenizer)
    assert model.config.vision_config.patch_size == processor.rule.patch_size == 8
    assert model.config.image_token_id == processor.image_token_id
    assert model.generation_config.eos_token_id == processor.tokenizer.eos_token_id
    assert model.dtype == torch.float32
    assert processor.system_prompt == ""


def test_the_seed_makes_the_weights(build):
    first, same, other = (build(f"seed={seed}")[0].state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[key], same[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


def test_a_model_goes_on_from_a_folder_with_other_settings(build, tmp_path):
    model, processor = build()
    model.save_pretrained(tmp_path / "first")
    processor.save_pretrained(tmp_path / "first")
    source = ["model.new=null", f"model.from={tmp_path / 'first'}", "model.processor={}"]
    again, same = build(*source)
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in model.state_dict().items())
    assert same.rule == processor.rule
    _, changed = build(
        *source, "model.processor.resize_rule.native_area=4096", "model.processor.system_prompt=Hi"
    )
    assert changed.rule.native_area == 4096
    assert changed.rule.low_area == processor.rule.low_area
    assert changed.system_prompt == "Hi"


@pytest.mark.parametrize(
    "changes",
    [
        [],
        ["model.processor.system_prompt=Hi", "model.processor.resize_rule.native_area=4096"],
        ["model.grow={spelling_samples: 50}"],
        ["model.from=null", "model.assemble={vision_tower: FIRST, language_model: FIRST}"],
    ],
)
def test_the_processor_is_that_of_the_model_which_is_not_made(
    build, recipe_file, tmp_path, monkeypatch, changes
):
    first = str(tmp_path / "first")
    for part in build():
        part.save_pretrained(first)
    overrides = ["model.new=null", f"model.from={first}", "model.processor={}"]
    overrides += [change.replace("FIRST", first) for change in changes]
    _, expected = build(*overrides)
    for way in ("from_pretrained", "_from_config"):
        monkeypatch.setattr(OryxForConditionalGeneration, way, None)
    processor = build_processor(load_recipe(recipe_file, overrides))
    assert processor.to_dict() == expected.to_dict()
    assert processor.tokenizer.get_vocab() == expected.tokenizer.get_vocab()


def test_the_processor_of_a_new_model(build, recipe_file):
    assert build_processor(load_recipe(recipe_file)).to_dict() == build()[1].to_dict()


def test_a_tokenizer_is_read_from_a_folder(build, tmp_path):
    build()[1].tokenizer.save_pretrained(tmp_path / "words")
    _, processor = build("model.new.spelling_samples=null", f"model.new.tokenizer={tmp_path / 'words'}")
    assert processor.tokenizer.get_vocab() == build()[1].tokenizer.get_vocab()


def test_a_spelling_tokenizer_knows_all_skills_whatever_the_recipe_trains(build):
    samples = "model.new.spelling_samples=40"
    _, words = build(samples)
    _, objects = build(samples, "data.synthetic.skills={object: {}}")
    assert words.tokenizer.get_vocab() == objects.tokenizer.get_vocab()
    assert words.tokenizer.tokenize("a palm tree") == ["a", "Ġpalm", "Ġtree"]  # no pictures are needed for it


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (
            "model.processor.resize_role={}",
            "model.processor.resize_role is not a known key; did you mean 'resize_rule'",
        ),
        ("model.processor.resize_rule.patch=8", "model.processor: resize_rule has no setting 'patch'"),
        ("model.processor.resize_rule=8", "model.processor.resize_rule is 8; it must be a section"),
        ("model.processor.prompt_style=fancy", "model.processor: prompt_style"),
        ("model.new.vision.patch_size=16", "they must be equal"),
        (
            "model.new.vision.hiden_size=16",
            "model.new.vision.hiden_size is not a known key; did you mean 'hidden_size'",
        ),
        ("model.new.vision.num_attention_heads=3", "model.new: vision hidden_size 32 is not a multiple"),
        ("model.new.vision.hidden_size=wide", "model.new has a value that its config refuses"),
        (
            "model.new.text.hiden_size=16",
            "model.new.text.hiden_size is not a known key; did you mean 'hidden_size'",
        ),
        ("model.new.vision.hidden_size=0", "model.new.vision.hidden_size is 0; it must be at least 1"),
        (
            "model.new.vision.num_attention_heads=0",
            "model.new.vision.num_attention_heads is 0; it must be at least 1",
        ),
        (
            "model.new.text.num_attention_heads=0",
            "model.new has values that make no model (ZeroDivisionError: ",
        ),
        ("model.new.text.hidden_act=foo", "model.new has values that make no model (KeyError: 'foo')"),
        (
            "model.new.text.num_key_value_heads=3",
            "model.new.text.num_key_value_heads is 3; num_attention_heads, 2, must be a multiple of it",
        ),
        (
            "model.attn_implementation=flash_attention_2",
            "model.attn_implementation 'flash_attention_2' cannot be used here (",
        ),
        ("model.new.text.model_type=qwem", "model.new.text.model_type 'qwem' is not known"),
        ("model.new.text.vocab_size=10", "model.new.text.vocab_size is 10; the tokenizer needs"),
    ],
)
def test_impossible_models_are_refused_by_key(build, override, said):
    with pytest.raises(ConfigError) as error:
        build(override)
    assert said in str(error.value)


def test_old_names_of_rope_settings_are_known(build):
    model, _ = build("model.new.text.rope_theta=5000.0")
    assert model.config.text_config.rope_parameters["rope_theta"] == 5000


def test_sources_that_do_not_exist_are_refused(build, tmp_path):
    with pytest.raises(ConfigError, match=r"model.new.tokenizer: .*none holds no readable tokenizer"):
        build("model.new.spelling_samples=null", f"model.new.tokenizer={tmp_path / 'none'}")
    with pytest.raises(CheckpointError):
        build("model.new=null", f"model.from={tmp_path / 'none'}", "model.processor={}")


def test_a_built_model_answers_after_saving(build, tmp_path):
    model, processor = build()
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    loaded, processor = oryx.load(tmp_path)
    inputs = processor(text="Hi")
    assert loaded.generate(**inputs, max_new_tokens=2).shape[0] == 1


def test_a_tower_gains_a_table_of_positions_and_keeps_its_weights(build, tmp_path):
    model, processor = build("model.new.vision.position_embedding=rotary")
    model.save_pretrained(tmp_path / "first")
    processor.save_pretrained(tmp_path / "first")
    source = ["model.new=null", f"model.from={tmp_path / 'first'}", "model.processor={}"]
    changed, _ = build(*source, "model.vision={position_embedding: both, position_grid_size: 4}")
    assert changed.config.vision_config.uses_table
    state = changed.state_dict()
    assert set(state) - set(model.state_dict()) == {"vision_tower.pos_embed.weight"}
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    with pytest.raises(ConfigError, match=r"no place for the weights vision_tower\.blocks\.0"):
        build(*source, "model.vision={num_hidden_layers: 1, intermediate_size: 8}")
    with pytest.raises(ConfigError, match="vision changes the tower of from"):
        build("model.vision={position_embedding: both}")
