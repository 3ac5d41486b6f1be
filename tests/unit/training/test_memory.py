"""The estimate of memory against what real layers, gradients and optimisers hold."""

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from oryx.config import OryxVisionConfig
from oryx.model.vision import OryxVisionModel
from oryx.processing.costs import TextSizes, VisionSizes
from oryx.training.building import build_model
from oryx.training.data import make_batches
from oryx.training.folder import RunFolder
from oryx.training.memory import block_bytes, layer_bytes, training_bytes
from oryx.training.recipe import load_recipe
from oryx.training.stages import set_trainable
from oryx.training.trainer import OryxTrainer


def kept_bytes(run, model):
    """Bytes of all tensors that `run` keeps for its backward pass, but for weights."""
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    found, alive = {}, []

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            found[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        alive.append(run())
    return sum(found.values())


def slope(measure):
    """Bytes for each position that the second layer adds: casts of weights do not grow with the positions."""
    two, one = ({length: measure(layers, length) for length in (64, 128)} for layers in (2, 1))
    return ((two[128] - one[128]) - (two[64] - one[64])) / 64


@pytest.mark.parametrize("is_bfloat16", [True, False])
@pytest.mark.parametrize("model_type", ["qwen2", "llama"])
def test_a_layer_keeps_what_is_reckoned(model_type, is_bfloat16):
    numbers = {
        "hidden_size": 96,
        "intermediate_size": 160,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
    }

    def measure(num_layers, length):
        config = AutoConfig.for_model(model_type, num_hidden_layers=num_layers, vocab_size=32, **numbers)
        model = AutoModelForCausalLM.from_config(config).train()
        embeds = torch.randn(1, length, 96, requires_grad=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=is_bfloat16):
            return kept_bytes(lambda: model.model(inputs_embeds=embeds, use_cache=False), model)

    sizes = TextSizes(**numbers, num_hidden_layers=1, vocab_size=32, head_dim=16)
    assert slope(measure) == pytest.approx(layer_bytes(sizes, is_bfloat16), rel=0.01)


@pytest.mark.parametrize("is_bfloat16", [True, False])
def test_a_block_keeps_what_is_reckoned(is_bfloat16):
    def measure(num_layers, num_patches):
        config = OryxVisionConfig(
            hidden_size=96,
            intermediate_size=160,
            num_hidden_layers=num_layers,
            num_attention_heads=4,
            patch_size=4,
            position_grid_size=8,
        )
        model = OryxVisionModel(config).train()
        patches = torch.randint(0, 255, (num_patches, 48), dtype=torch.uint8)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=is_bfloat16):
            return kept_bytes(lambda: model(patches, [[num_patches // 8, 8]]), model)

    assert slope(measure) == pytest.approx(block_bytes(VisionSizes(96, 160, 1, 3), is_bfloat16), rel=0.02)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_state_is_what_a_run_holds(recipe_file, tmp_path, silent, optimizer):
    changes = [f"optim.optimizer={optimizer}", "train=[language_model, projector]", "optim.steps=1"]
    recipe = load_recipe(recipe_file, changes)
    model, processor = build_model(recipe)
    set_trainable(model, recipe.train)
    reckoned = training_bytes(model, model.config, recipe)
    assert reckoned["weights"] == sum(p.nbytes for p in model.parameters())
    assert reckoned["gradients"] == sum(p.nbytes for p in model.parameters() if p.requires_grad)
    trainer = OryxTrainer(
        model, processor, recipe, make_batches(recipe, processor), RunFolder(tmp_path / "run"), silent
    )
    trainer.train()
    states = [state for state in trainer.optimizer.state.values() if state]
    held = sum(t.nbytes for state in states for t in state.values() if torch.is_tensor(t) and t.ndim)
    # Parts that no sample reaches have no state: here the separator of views.
    assert held == pytest.approx(reckoned["optimiser"], rel=0.01)


def test_settings_change_the_estimate_as_they_change_a_run(recipe_file):
    def reckon(*changes):
        recipe = load_recipe(recipe_file, changes)
        model, _ = build_model(recipe)
        set_trainable(model, recipe.train)
        return training_bytes(model, model.config, recipe)

    plain = reckon()
    assert plain["copies"] == 0
    assert reckon("precision=bfloat16")["copies"] == plain["weights"] // 2
    assert reckon("precision=bfloat16", "gradient_checkpointing=true")["copies"] == 0
    assert reckon("gradient_checkpointing=true")["activations"] < plain["activations"]
    assert reckon("train=[language_model]")["activations"] < plain["activations"]
    assert reckon("batch.rows=4")["logits"] == 2 * plain["logits"]


def test_layers_that_are_not_known_have_no_estimate(recipe_file):
    text = "{model_type: mamba, hidden_size: 32, num_hidden_layers: 2}"
    recipe = load_recipe(recipe_file, [f"model.new.text={text}"])
    model, _ = build_model(recipe)
    set_trainable(model, recipe.train)
    reckoned = training_bytes(model, model.config, recipe)
    assert reckoned["activations"] is None
    assert reckoned["weights"] > 0
