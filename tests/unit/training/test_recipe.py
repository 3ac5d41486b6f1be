"""Recipes are typed: what is wrong is refused, with the file and the key."""

import ast
import inspect
import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from oryx.errors import ConfigError
from oryx.training import recipe as recipe_module
from oryx.training.recipe import PARTS, Recipe, load_recipe


def put(settings: dict[str, Any], key: str, value: Any) -> None:
    *sections, last = key.split(".")
    for name in sections:
        settings = settings.setdefault(name, {})
    settings[last] = value


def test_values_arrive_typed_and_defaults_fill_the_rest(recipe_file):
    recipe = load_recipe(recipe_file)
    assert recipe.optim.steps == 6
    assert recipe.optim.betas == (0.9, 0.999)
    assert recipe.train == PARTS
    assert recipe.data.synthetic.skills["words"]["letters"] == [1, 2]


def test_exponents_without_a_point_are_numbers(recipe_file):
    assert load_recipe(recipe_file, ["optim.learning_rate=1e-3"]).optim.learning_rate == 1e-3


def test_a_saved_recipe_reads_back_equal(recipe_file, write_recipe):
    recipe = load_recipe(recipe_file)
    assert load_recipe(write_recipe(recipe.to_dict(), "saved.yaml")) == recipe


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("optimm", {}, "recipe.yaml: optimm is not a known key; did you mean 'optim'"),
        (
            "optim.learning_rte",
            1,
            "recipe.yaml: optim.learning_rte is not a known key; did you mean 'learning_rate'",
        ),
        ("model.new.visoin", {}, "recipe.yaml: model.new.visoin is not a known key; did you mean 'vision'"),
        ("optim.steps", "many", "optim.steps is 'many'; it must be a whole number"),
        ("optim.steps", True, "optim.steps is True; it must be a whole number"),
        ("optim.steps", 0, "optim.steps is 0; it must be at least 1"),
        ("optim.epochs", 1, "optim.steps or epochs must be set, and only one of them"),
        ("optim.learning_rate", 0, "optim.learning_rate is 0; it must be above 0"),
        ("optim.learning_rate", "fast", "optim.learning_rate is 'fast'; it must be a number"),
        ("optim.learning_rate", math.nan, "optim.learning_rate is nan; it must be a finite number"),
        ("optim.learning_rate", math.inf, "optim.learning_rate is inf; it must be a finite number"),
        ("optim.learning_rate", "nan", "optim.learning_rate is nan; it must be a finite number"),
        ("optim.max_minutes", math.nan, "optim.max_minutes is nan; it must be a finite number"),
        ("optim.muon_multiplier", math.nan, "optim.muon_multiplier is nan; it must be a finite number"),
        ("optim.eps", math.nan, "optim.eps is nan; it must be a finite number"),
        ("optim.weight_decay", math.nan, "optim.weight_decay is nan; it must be a finite number"),
        ("optim.max_grad_norm", math.inf, "optim.max_grad_norm is inf; it must be a finite number"),
        ("optim.warmup_ratio", math.nan, "optim.warmup_ratio is nan; it must be a finite number"),
        ("optim.min_lr_ratio", math.nan, "optim.min_lr_ratio is nan; it must be a finite number"),
        ("optim.betas", [0.9, math.nan], "both must be at least 0 and below 1"),
        ("optim.lr_multipliers", {"projector": math.nan}, "projector is nan; it must be above 0 and finite"),
        ("optim.lr_multipliers", {"projector": math.inf}, "projector is inf; it must be above 0 and finite"),
        ("optim.max_minutes", -1, "optim.max_minutes is -1; it must be above 0"),
        ("optim.schedule", "cosin", "allowed: cosine, constant, linear, wsd"),
        ("optim.warmup_ratio", 2, "optim.warmup_ratio is 2; it must be at most 1"),
        ("optim.warmup_steps", -1, "optim.warmup_steps is -1; it must be at least 0"),
        ("optim.betas", [0.9], "optim.betas has 1 entries; it must have 2"),
        ("optim.betas", [0.9, 1.0], "both must be at least 0 and below 1"),
        ("optim.lr_multipliers", {"tower": 1}, "optim.lr_multipliers.tower is not a part of the model"),
        ("optim.lr_multipliers", {"projector": 0}, "optim.lr_multipliers.projector is 0; it must be above 0"),
        ("batch.rows", 0, "batch.rows is 0; it must be at least 1"),
        ("batch", 3, "batch is 3; it must be a section of keys and values"),
        ("train", [], "train is empty, so everything would be frozen"),
        ("train", ["tower"], "train[0] is 'tower'; allowed: vision_tower, compressor"),
        ("train", "projector", "train is 'projector'; it must be a list"),
        ("precision", "float16", "allowed: float32, bfloat16"),
        ("gradient_checkpointing", 1, "gradient_checkpointing is 1; it must be true or false"),
        ("num_workers", -1, "num_workers is -1; it must be at least 0"),
        ("seed", -1, "seed is -1; it must be at least 0"),
        ("seed", 2**32, "seed is 4294967296; it must be from 0 to 4294967295"),
        ("model.from", "nano", "model.from, new or assemble must be set, and only one of them"),
        ("model.new.spelling_samples", None, "model.new.tokenizer or spelling_samples must be set"),
        ("data.files", [{"path": "x"}], "data.synthetic.weight is missing: beside sources, synthetic"),
        ("data.synthetic.skills.words", 3, "data.synthetic.skills.words is 3; it must be a section"),
        ("data.synthetic.skills", {}, "data.synthetic.skills has no skill with a weight above 0"),
        ("data.synthetic.skills.words.weight", 0, "data.synthetic.skills has no skill with a weight above 0"),
        ("data.synthetic.skills", 3, "data.synthetic.skills is 3; it must be a section"),
    ],
)
def test_wrong_values_are_refused_by_name(settings, write_recipe, key, value, said):
    put(settings, key, value)
    path = write_recipe(settings)
    with pytest.raises(ConfigError) as error:
        load_recipe(path)
    assert str(error.value).startswith(f"{path}: ")
    assert said in str(error.value)


def test_a_missing_section_is_named(settings, write_recipe):
    del settings["data"]
    with pytest.raises(ConfigError, match=r"recipe.yaml: data is missing"):
        load_recipe(write_recipe(settings))


def test_multipliers_of_frozen_parts_are_refused(recipe_file):
    with pytest.raises(ConfigError, match="train freezes that part"):
        load_recipe(recipe_file, ["train=[projector]", "optim.lr_multipliers.compressor=2"])


def test_epochs_need_files(recipe_file):
    with pytest.raises(ConfigError, match=r"optim.epochs needs data.files"):
        load_recipe(recipe_file, ["optim.steps=null", "optim.epochs=1"])


@pytest.mark.parametrize("epochs", [".nan", ".inf"])
def test_epochs_have_an_end(recipe_file, epochs):
    with pytest.raises(ConfigError, match=r"optim.epochs is (nan|inf); it must be a finite number"):
        load_recipe(recipe_file, ["optim.steps=null", f"optim.epochs={epochs}"])


def test_overrides_are_yaml_under_dotted_keys(recipe_file):
    changes = ["optim.steps=8", "train=[projector, compressor]", "data.synthetic.skills.words.weight=2"]
    recipe = load_recipe(recipe_file, changes)
    assert recipe.optim.steps == 8
    assert recipe.train == ("projector", "compressor")
    assert recipe.data.synthetic.skills["words"]["weight"] == 2


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("optim.steps", "--set optim.steps is not of the form key=value"),
        ("=3", "is not of the form key=value"),
        ("optim.steps=[1", "the value is not valid YAML"),
        ("output=2024-13-45", "the value is not valid YAML"),
        ("optim.steps.more=1", "steps is a value, not a section"),
        ("optim.stepz=1", "--set: optim.stepz is not a known key; did you mean 'steps'"),
        ("optim.steps=-4", "--set: optim.steps is -4"),
    ],
)
def test_wrong_overrides_are_refused(recipe_file, override, said):
    with pytest.raises(ConfigError) as error:
        load_recipe(recipe_file, [override])
    assert said in str(error.value)


def test_a_recipe_changes_the_one_it_extends(recipe_file, write_recipe):
    child = write_recipe({"extends": "recipe.yaml", "optim": {"steps": 9}}, "child.yaml")
    recipe = load_recipe(child)
    assert recipe.optim.steps == 9
    assert recipe.optim.learning_rate == 3e-3


def test_weight_0_leaves_out_an_inherited_skill_and_an_empty_section_has_defaults(write_recipe, recipe_file):
    skills = {"words": {"weight": 0}, "object": None}
    child = write_recipe(
        {"extends": recipe_file.name, "data": {"synthetic": {"skills": skills}}}, "child.yaml"
    )
    assert load_recipe(child).data.synthetic.skills == {"object": {}}


def test_errors_name_the_file_that_set_the_key(settings, write_recipe):
    settings["batch"]["row"] = 1
    write_recipe(settings)
    child = write_recipe({"extends": "recipe.yaml", "optim": {"steps": 9}}, "child.yaml")
    with pytest.raises(ConfigError, match=r"/recipe.yaml: batch.row is not a known key"):
        load_recipe(child)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("extends: recipe.yaml", "extends leads back to the same file"),
        ("extends: 3", "extends is 3; it must be the path of a recipe"),
        ("extends: other.yaml", "other.yaml does not exist"),
        ("- a list", "must hold keys and values"),
        ("", "must hold keys and values"),
        ("optim: {steps: 3\ntrain:", "is not valid YAML at line"),
        ("output: 2024-13-45", "is not valid YAML (month must be in 1..12)"),
    ],
)
def test_unreadable_recipes_are_refused(tmp_path, content, said):
    path = tmp_path / "recipe.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError) as error:
        load_recipe(path)
    assert said in str(error.value)


def test_a_folder_or_missing_file_is_no_recipe(tmp_path):
    with pytest.raises(ConfigError, match="does not exist"):
        load_recipe(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_recipe(tmp_path)


def test_every_key_is_documented():
    recipe = Path(inspect.getfile(recipe_module))
    files = [recipe, *sorted((recipe.parent / "sections").glob("*.py"))]
    nodes = [node for file in files for node in ast.parse(file.read_text()).body]
    sections = [node for node in nodes if isinstance(node, ast.ClassDef)]
    assert len(sections) > 5
    for section in sections:
        for node, after in zip(section.body, section.body[1:]):
            if isinstance(node, ast.AnnAssign):
                is_text = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
                assert is_text, f"{section.name}.{node.target.id} has no docstring"


def test_to_dict_is_plain_yaml(recipe_file):
    plain = load_recipe(recipe_file).to_dict()
    assert yaml.safe_load(yaml.safe_dump(plain)) == plain
    assert set(plain) == set(Recipe.__dataclass_fields__)
