"""Parts that a step did not use stay as they are; what a recipe says of intervals holds at once."""

import json

import torch
from factories import encode, make_model, make_processor, unlike_samples

from oryx.training.callbacks import LeaveUnused
from oryx.training.running import train


def test_unused_parts_lose_their_gradients():
    model = make_model().train()
    model(**encode(make_processor(), unlike_samples()[:2])).loss.backward()
    callback = LeaveUnused(model)
    callback.on_pre_optimizer_step(None, None, None)
    assert all(parameter.grad is not None for parameter in model.projector.parameters())
    callback.parts = ("compressor", "projector")
    callback.on_pre_optimizer_step(None, None, None)
    assert all(parameter.grad is None for parameter in model.projector.parameters())
    assert any(parameter.grad is not None for parameter in model.vision_tower.parameters())
    assert torch.is_tensor(model.get_input_embeddings().weight.grad)


def test_a_run_that_goes_on_logs_and_saves_as_it_is_told_now(recipe_file, tmp_path, silent):
    begun = ["log_every=5", "save_every=5", "optim.max_minutes=1e-9"]
    folder = train(recipe_file, tmp_path / "run", begun, console=silent)
    train(recipe_file, folder, ["log_every=1", "save_every=1"], console=silent)
    assert [json.loads(line)["step"] for line in (folder / "log.jsonl").open()] == [1, 2, 3, 4, 5, 6]
    assert sorted(path.name for path in folder.glob("checkpoint-*")) == ["checkpoint-5", "checkpoint-6"]
    train(recipe_file, tmp_path / "other", begun, console=silent)
    train(
        recipe_file,
        tmp_path / "other",
        ["log_every=1", "save_every=2", "optim.max_minutes=1e-9"],
        console=silent,
    )
    assert sorted(path.name for path in (tmp_path / "other").glob("checkpoint-*")) == [
        "checkpoint-1",
        "checkpoint-2",
    ]
