"""Checkpoints: a run goes on with all that is in one, or says what it lacks."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from oryx.errors import CheckpointError
from oryx.training.running import train

ONE_STEP = "optim.max_minutes=1e-9"


@pytest.fixture
def begun(recipe_file, tmp_path, silent):
    """A run after its first step, with a checkpoint of it."""
    return train(recipe_file, tmp_path / "run", [ONE_STEP], console=silent)


@pytest.mark.parametrize("name", ["optimizer.pt", "scheduler.pt"])
@pytest.mark.parametrize(("damage", "said"), [(False, "is missing"), (True, "cannot be read")])
def test_a_run_does_not_go_on_without_its_state(begun, recipe_file, silent, name, damage, said):
    file = begun / "checkpoint-1" / name
    if damage:
        file.write_bytes(file.read_bytes()[:100])
    else:
        file.unlink()
    with pytest.raises(CheckpointError, match=f"checkpoint-1/{name} {said}") as error:
        train(recipe_file, begun, console=silent)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["rng_state.pth", "trainer_state.json"])
@pytest.mark.parametrize("damage", [False, True])
def test_a_run_does_not_go_on_without_what_the_trainer_reads(begun, recipe_file, silent, name, damage):
    file = begun / "checkpoint-1" / name
    whole = file.read_bytes()
    if damage:
        file.write_bytes(whole[: len(whole) // 2])
    else:
        file.unlink()
    with pytest.raises(CheckpointError, match=rf"checkpoint-1/{name} (is missing|is damaged|cannot be read)"):
        train(recipe_file, begun, console=silent)
    file.write_bytes(whole)
    train(recipe_file, begun, console=silent)


def test_a_run_does_not_go_on_without_some_of_its_weights(begun, recipe_file, silent):
    file = begun / "checkpoint-1" / "model.safetensors"
    weights = load_file(file)
    del weights["projector.fc1.weight"]
    save_file(weights, file, {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"checkpoint-1 .*missing keys projector.fc1.weight"):
        train(recipe_file, begun, console=silent)


def test_a_run_does_not_go_on_with_another_model(begun, recipe_file, silent, tmp_path):
    wider = ["model.new.text.intermediate_size=64", ONE_STEP]
    other = train(recipe_file, tmp_path / "other", wider, console=silent)
    for name in ("model.safetensors", "config.json"):
        (other / "checkpoint-1" / name).replace(begun / "checkpoint-1" / name)
    with pytest.raises(CheckpointError, match=r"does not hold the model that this recipe trains \(language_"):
        train(recipe_file, begun, console=silent)


@pytest.mark.parametrize(
    "changes",
    [
        ["model.new.text.tie_word_embeddings=true"],
        # transformers names the weights of experts in another way on disk.
        [
            "model.new.text.model_type=qwen2_moe",
            "model.new.text.num_experts=4",
            "model.new.text.num_experts_per_tok=2",
            "model.new.text.moe_intermediate_size=16",
            "model.new.text.shared_expert_intermediate_size=16",
        ],
    ],
    ids=["tied", "experts"],
)
def test_every_weight_is_in_a_checkpoint(recipe_file, tmp_path, silent, changes):
    changes = [*changes, "optim.steps=3"]
    whole = train(recipe_file, tmp_path / "whole", changes, console=silent)
    for _ in range(3):
        parts = train(recipe_file, tmp_path / "parts", [*changes, ONE_STEP], console=silent)
    expected, found = (load_file(folder / "model.safetensors") for folder in (whole, parts))
    assert expected.keys() == found.keys()
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []
    assert json.loads((parts / "trainer_state.json").read_text())["global_step"] == 3
