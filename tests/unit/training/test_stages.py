"""What learns and what does not, and at what rate."""

import pytest
import torch
from rich.console import Console
from torch import nn

from oryx.errors import ConfigError
from oryx.training.building import build_model
from oryx.training.recipe import PARTS, load_recipe
from oryx.training.stages import parameter_groups, set_trainable


@pytest.fixture
def model(recipe_file):
    return build_model(load_recipe(recipe_file, ["model.new.vision.position_embedding=learned"]))[0]


def test_only_the_named_parts_learn(model):
    set_trainable(model, ["projector", "compressor"])
    learning = {name.split(".")[0] for name, p in model.named_parameters() if p.requires_grad}
    assert learning == {"projector", "compressor"}
    set_trainable(model, PARTS)
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_the_table_counts_parameters(model):
    console = Console(width=100, record=True)
    console.print(set_trainable(model, ["language_model"]))
    text = console.export_text()
    count = sum(p.numel() for p in model.language_model.parameters())
    assert f"{count:,} of {sum(p.numel() for p in model.parameters()):,}" in text
    assert text.count("frozen") == 3


@pytest.mark.parametrize(
    ("parts", "said"), [([], "everything would be frozen"), (["tower"], "'tower' is not a part of the model")]
)
def test_impossible_parts_are_refused(model, parts, said):
    with pytest.raises(ConfigError, match=said):
        set_trainable(model, parts)


def test_only_matrices_decay(model):
    set_trainable(model, PARTS)
    groups = parameter_groups(model, 1.0, 0.1, {})
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    decayed = {names[id(p)] for group in groups if group["weight_decay"] for p in group["params"]}
    kept = {names[id(p)] for group in groups if not group["weight_decay"] for p in group["params"]}
    assert decayed | kept == set(names.values())
    assert not decayed & kept
    assert all(name.endswith("weight") for name in decayed)
    assert not any("norm" in name or "embed_tokens" in name or "pos_embed" in name for name in decayed)
    assert {"vision_tower.pos_embed.weight", "language_model.model.embed_tokens.weight"} <= kept
    assert {"vision_tower.patch_embed.proj.weight", "language_model.lm_head.weight"} <= decayed


def test_tied_weights_are_one_parameter_and_do_not_decay(recipe_file):
    model, _ = build_model(load_recipe(recipe_file, ["model.new.text.tie_word_embeddings=true"]))
    groups = parameter_groups(model, 1.0, 0.1, {})
    holding = [g for g in groups for p in g["params"] if p is model.language_model.lm_head.weight]
    assert [group["weight_decay"] for group in holding] == [0.0]


def test_parts_have_rates_of_their_own_and_frozen_ones_none(model):
    set_trainable(model, ["vision_tower", "projector"])
    groups = parameter_groups(model, 2.0, 0.1, {"vision_tower": 0.1})
    assert {(group["part"], group["lr"]) for group in groups} == {("vision_tower", 0.2), ("projector", 2.0)}


def test_matrices_outside_linear_layers_decay():
    model = nn.ModuleDict({part: nn.Identity() for part in PARTS})
    model["language_model"] = nn.ParameterDict({"experts": torch.zeros(2, 3, 4), "conv1d": torch.zeros(3, 4)})
    (group,) = parameter_groups(model, 1.0, 0.1, {})
    assert group["weight_decay"] == 0.1
    assert {p.ndim for p in group["params"]} == {2, 3}


def test_convolutions_decay():
    model = nn.ModuleDict({part: nn.Identity() for part in PARTS})
    model["vision_tower"] = nn.Conv2d(1, 1, 2)
    decays = {g["weight_decay"]: [p.ndim for p in g["params"]] for g in parameter_groups(model, 1.0, 0.1, {})}
    assert decays == {0.1: [4], 0.0: [1]}
