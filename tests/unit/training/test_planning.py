"""Models planned from configs alone are those that are built; what is not there is found where it is made."""

import pytest
import torch
from factories import RULE, make_config, make_model, make_processor, make_text_config, make_tokenizer
from transformers import AutoConfig, AutoModelForCausalLM, SiglipVisionConfig, SiglipVisionModel

from oryx.config import OryxVisionConfig
from oryx.errors import CheckpointError, ConfigError
from oryx.training.building import build_model
from oryx.training.known import known_text_config, known_tower_config
from oryx.training.planning import ModelPlan, ModelPlanner
from oryx.training.recipe import load_recipe

PROCESSOR = {"system_prompt": "", "resize_rule": RULE}


@pytest.fixture
def plan(settings, write_recipe):
    """(model section) -> its plan, and the model that is really built."""

    def make(section, with_model=True):
        file = write_recipe({**settings, "model": section})
        recipe = load_recipe(file)
        return ModelPlanner(file).plan(recipe), build_model(recipe) if with_model else None

    return make


def shapes_of(config):
    from oryx.model.modeling import OryxForConditionalGeneration

    with torch.device("meta"):
        model = OryxForConditionalGeneration(config)
    return {name: tensor.shape for name, tensor in model.state_dict().items()}


def assert_planned(planned, built):
    model, processor = built
    assert shapes_of(planned.config) == {name: tensor.shape for name, tensor in model.state_dict().items()}
    assert {**processor.resize_rule, **planned.rule} == processor.resize_rule


@pytest.fixture
def model_folder(tmp_path):
    make_model().save_pretrained(tmp_path / "model")
    make_processor().save_pretrained(tmp_path / "model")
    return str(tmp_path / "model")


def test_a_new_model(plan, settings):
    assert_planned(*plan(settings["model"]))


def test_a_model_that_exists_and_one_with_a_changed_tower(plan, model_folder):
    assert_planned(*plan({"from": model_folder}))
    changed = {"from": model_folder, "vision": {"position_embedding": "both", "rope_theta": 50.0}}
    planned, built = plan(changed)
    assert_planned(planned, built)
    assert planned.config.vision_config.rope_theta == 50


def test_a_model_that_grows(plan, settings, tmp_path):
    """Deeper, longer, and with the words of more samples."""
    model, processor = plan(settings["model"])[1]
    model.save_pretrained(tmp_path / "small")
    processor.save_pretrained(tmp_path / "small")
    grow = {"vision_layers": 3, "text_layers": 4, "max_positions": 77, "spelling_samples": 30}
    planned, built = plan({"from": str(tmp_path / "small"), "grow": grow})
    assert_planned(planned, built)
    assert planned.config.text_config.max_position_embeddings == 77
    assert planned.config.text_config.vocab_size > model.config.text_config.vocab_size
    with pytest.raises(ConfigError, match="vision_layers is 9; it must be from 2 to 4"):
        plan({"from": str(tmp_path / "small"), "grow": {"vision_layers": 9}}, with_model=False)


@pytest.mark.filterwarnings("ignore:.*left out")
def test_an_assembled_model(plan, model_folder, tmp_path):
    sizes = {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = SiglipVisionConfig(**sizes, image_size=20, patch_size=4)
    SiglipVisionModel(config).save_pretrained(tmp_path / "siglip")
    text = make_text_config("llama")
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(text.pop("model_type"), **text))
    model.save_pretrained(tmp_path / "lm")
    make_tokenizer().save_pretrained(tmp_path / "lm")
    section = {
        "vision_tower": str(tmp_path / "siglip"),
        "language_model": str(tmp_path / "lm"),
        "vision": {"patch_size": 4, "position_grid_size": 9},
        "compressor_dim": 8,
    }
    assert_planned(*plan({"assemble": section, "processor": PROCESSOR}))
    of_model = {"vision_tower": model_folder, "language_model": model_folder, "compressor": model_folder}
    planned, built = plan({"assemble": of_model})
    assert_planned(planned, built)
    assert planned.config.compressor_dim == 16


def test_what_is_not_there_yet_is_planned_by_the_recipe_that_makes_it(plan, settings, write_recipe, tmp_path):
    first = {**settings, "output": str(tmp_path / "runs" / "first")}
    file = write_recipe(first, "first.yaml")
    write_recipe({"not": "a recipe"}, "other.yaml")
    planned, _ = plan({"from": f"{tmp_path}/runs/./first"}, with_model=False)
    built, _ = build_model(load_recipe(file))
    assert shapes_of(planned.config) == {name: tensor.shape for name, tensor in built.state_dict().items()}
    assert planned.rule["patch_size"] == 8
    assert planned.origins == (f"{tmp_path}/runs/./first is to be made by {file}",)
    names = {"vision_tower": first["output"], "language_model": first["output"]}
    section = {"assemble": {**names, "projector": first["output"], "compressor_dim": 5}}
    twice, _ = plan(section, with_model=False)
    assert twice.config.vision_config.to_dict() == planned.config.vision_config.to_dict()
    assert twice.config.compressor_dim == 5
    assert twice.rule == planned.rule


def test_earlier_recipes_may_lie_in_a_folder_below_or_above(settings, write_recipe, tmp_path):
    (tmp_path / "vit").mkdir()
    (tmp_path / "joint").mkdir()
    write_recipe({**settings, "output": "runs/first"}, "vit/first.yaml")
    write_recipe({**settings, "output": "runs/second", "model": {"from": "runs/first"}}, "second.yaml")
    file = write_recipe({**settings, "model": {"from": "runs/second"}}, "joint/third.yaml")
    planned = ModelPlanner(file).plan(load_recipe(file))
    assert planned.rule["patch_size"] == 8
    assert planned.origins == (f"runs/second is to be made by {tmp_path / 'second.yaml'}",)


def test_a_folder_of_an_earlier_part_is_as_that_part_was_planned(settings, write_recipe, tmp_path):
    planned = {str(tmp_path / "part"): ModelPlan(make_config(), {"patch_size": 4})}
    recipe = load_recipe(write_recipe({**settings, "model": {"from": str(tmp_path / "part")}}))
    found = ModelPlanner(None, planned).plan(recipe)
    assert found.config == make_config()
    assert "is made by a part before this one" in found.origins[0]


def test_recipes_that_begin_from_each_other_are_refused(settings, write_recipe, tmp_path):
    one, two = ({**settings, "output": str(tmp_path / name)} for name in ("one", "two"))
    one["model"], two["model"] = {"from": str(tmp_path / "two")}, {"from": str(tmp_path / "one")}
    file = write_recipe(one, "one.yaml")
    write_recipe(two, "two.yaml")
    with pytest.raises(ConfigError, match=r"begins from what it makes itself"):
        ModelPlanner(file).plan(load_recipe(file))


@pytest.mark.parametrize(
    ("section", "error", "said"),
    [
        ({"from": "some/where"}, CheckpointError, "some/where is not on this machine, and no recipe near"),
        (
            {"assemble": {"vision_tower": "THUdyh/Oryx-ViT", "language_model": "a/b"}},
            CheckpointError,
            "a/b is not on this machine",
        ),
        ({"from": "nano", "vision": {"patch_sise": 3}}, ConfigError, "did you mean 'patch_size'"),
        ({"from": "nano", "processor": {"rule": {}}}, ConfigError, "model.processor.rule is not a known key"),
        ({"from": "nano", "processor": {"prompt_style": "odd"}}, ConfigError, "prompt_style"),
        (
            {"from": "nano", "processor": {"resize_rule": 5}},
            ConfigError,
            "model.processor.resize_rule is 5; it must be a section",
        ),
        (
            {"from": "nano", "processor": {"resize_rule": {"patch_size": 4}}},
            ConfigError,
            "the tower's patch_size is 8, but .* is 4; they must be equal",
        ),
    ],
)
def test_what_cannot_be_is_refused(plan, section, error, said):
    with pytest.raises(error, match=said):
        plan(section, with_model=False)


def test_known_parts_have_their_published_sizes():
    seven = known_text_config("Qwen/Qwen2-7B-Instruct")
    assert (seven.model_type, seven.hidden_size, seven.num_hidden_layers) == ("qwen2", 3584, 28)
    assert known_text_config("01-ai/Yi-1.5-34B").model_type == "llama"
    with torch.device("meta"):
        light = AutoModelForCausalLM.from_config(known_text_config("Qwen/Qwen2-0.5B"))
    assert sum(parameter.numel() for parameter in light.parameters()) == 494_032_768  # the model card's 0.49B
    tower = known_tower_config("google/siglip-so400m-patch14-384", {"patch_size": 16})
    assert tower.to_dict() == OryxVisionConfig().to_dict()
    assert known_text_config("some/other") is None
    assert known_tower_config("some/other", {}) is None
