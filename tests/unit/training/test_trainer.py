"""Training by recipe: it learns, resumes to the bit, freezes what it says, and stops with a sentence."""

import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainingArguments

import oryx
from oryx.errors import ConfigError, OryxError
from oryx.model.modeling import OryxForConditionalGeneration
from oryx.training import building
from oryx.training import trainer as trainer_module
from oryx.training.data import SyntheticBatches
from oryx.training.recipe import load_recipe
from oryx.training.running import train
from oryx.training.trainer import count_steps

ONE_STEP = "optim.max_minutes=1e-9"
TIMES = ("samples_per_second", "tokens_per_second", "data_wait", "seconds_left", "minutes")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def assert_same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    assert [key for key in first if not torch.equal(first[key], second[key])] == []


def curve(folder: Path) -> list[dict]:
    """The log without what a clock says."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in TIMES} for line in lines]


def break_at(monkeypatch, number: int) -> None:
    """Batch `number` cannot be made: the run ends there, as if it had been killed."""
    original = SyntheticBatches.__getitem__

    def get(self, index):
        if index == number:
            raise OryxError("killed.")
        return original(self, index)

    monkeypatch.setattr(SyntheticBatches, "__getitem__", get)


@pytest.fixture
def whole_run(recipe_file, tmp_path, silent) -> Path:
    return train(recipe_file, tmp_path / "whole", console=silent)


def test_the_loss_falls_and_the_model_loads(recipe_file, tmp_path, silent):
    folder = train(recipe_file, tmp_path / "run", ["optim.steps=30", "save_every=30"], console=silent)
    losses = [line["loss"] for line in curve(folder)]
    assert len(losses) == 30
    assert losses[-1] < 0.7 * losses[0]
    state = json.loads((folder / "trainer_state.json").read_text())
    assert state["global_step"] == state["max_steps"] == 30
    model, processor = oryx.load(folder)
    assert model.generate(**processor(text="Hi"), max_new_tokens=1).shape[0] == 1
    oryx.load(folder / "checkpoint-30")
    assert "30/30" in silent.file.getvalue()
    assert "What is trained" in silent.file.getvalue()


def test_log_lines_say_how_fast_and_how_full(whole_run):
    line = json.loads((whole_run / "log.jsonl").read_text().splitlines()[-1])
    assert line["packed"] > 0.9
    assert line["samples_per_second"] > 0
    assert line["tokens_per_second"] > 10 * line["samples_per_second"]
    assert 0 <= line["data_wait"] <= 1
    assert line["seconds_left"] == 0
    assert line["epoch"] == 1.0


def test_a_run_stopped_in_the_middle_ends_with_the_same_bits(whole_run, recipe_file, tmp_path, silent):
    parts = tmp_path / "parts"
    for step in range(1, 7):
        train(recipe_file, parts, [ONE_STEP], console=silent)
        assert (parts / f"checkpoint-{step}").is_dir()
    assert_same(weights(parts), weights(whole_run))
    assert curve(parts) == curve(whole_run)
    assert "stopped after 5 of 6 steps" in silent.file.getvalue()


@pytest.mark.parametrize("log_every", [1, 2])
def test_a_killed_run_ends_with_the_same_bits(recipe_file, tmp_path, silent, monkeypatch, log_every):
    changes = [
        f"log_every={log_every}",
        "batch.gradient_accumulation=2",
        "model.new.text.attention_dropout=0.1",
    ]
    whole = train(recipe_file, tmp_path / "whole", changes, console=silent)
    parts = tmp_path / "parts"
    with monkeypatch.context() as context:
        break_at(context, 8)  # in the fifth step
        with pytest.raises(OryxError, match="killed"):
            train(recipe_file, parts, changes, console=silent)
    assert not (parts / "config.json").exists()
    train(recipe_file, parts, changes, console=silent)
    assert_same(weights(parts), weights(whole))
    assert curve(parts) == curve(whole)
    assert f"going on from {parts / 'checkpoint-3'}" in silent.file.getvalue()


def test_workers_change_nothing(whole_run, recipe_file, tmp_path, silent):
    other = train(recipe_file, tmp_path / "workers", ["num_workers=2"], console=silent)
    assert_same(weights(other), weights(whole_run))


def test_accumulation_is_one_large_batch(recipe_file, tmp_path, silent, monkeypatch):
    """Two batches of one step weigh each supervised token alike: equal to float32's rounding after Adam."""
    recipe = load_recipe(recipe_file)
    model, processor = building.build_model(recipe)
    batches = SyntheticBatches(processor, recipe.data, recipe.batch)
    loss = items = 0.0
    model.train()
    for number in range(2):
        batch = batches[number]
        batch.pop("stats")
        loss += model(**batch, num_items_in_batch=1, use_cache=False).loss.item()
        items += (batch["labels"] != -100).sum().item()
    folder = train(
        recipe_file, tmp_path / "run", ["batch.gradient_accumulation=2", "optim.steps=1"], console=silent
    )
    assert curve(folder)[0]["loss"] == pytest.approx(loss / items, rel=1e-5)


STAGES = {
    "vit": ["vision_tower", "compressor", "projector", "language_model"],
    "align": ["compressor", "projector"],
    "sft": ["compressor", "projector", "language_model"],
    "joint sft of the language model alone": ["language_model"],
    "the tower alone": ["vision_tower"],
}


@pytest.mark.parametrize("parts", STAGES.values(), ids=STAGES)
def test_frozen_parts_keep_every_bit_and_trained_ones_none(recipe_file, tmp_path, silent, parts):
    """Three steps of each stage's list of parts."""
    recipe = load_recipe(recipe_file)
    before = building.build_model(recipe)[0].state_dict()
    changes = [
        f"train={parts}",
        "data.synthetic.skills.words.compression=[4]",  # at 1x the compressor has nothing to choose
        "optim.steps=3",
        "optim.warmup_steps=0",
        "optim.schedule=constant",
    ]
    after = weights(train(recipe_file, tmp_path / "run", changes, console=silent))
    kept = {key for key, value in after.items() if torch.equal(before[key], value)}
    # No sample here has two views, and a softmax does not feel a constant on all of its keys.
    without_gradient = {"projector.separator", "compressor.key.bias"}
    learned = {key for key in after if key.split(".")[0] in parts} - without_gradient
    assert kept - without_gradient == set(after) - learned - without_gradient


def test_every_part_of_the_recipe_s_settings_reaches_the_run(recipe_file, tmp_path, silent):
    changes = [
        "optim.lr_multipliers.projector=0.5",
        "gradient_checkpointing=true",
        "num_threads=1",
        "optim.steps=4",
    ]
    folder = train(recipe_file, tmp_path / "run", changes, console=silent)
    rates = [line["learning_rate"] for line in curve(folder)]
    schedule = load_recipe(recipe_file).optim.make_schedule(4)
    assert rates == pytest.approx([3e-3 * schedule(step) for step in range(4)])


def test_checkpointing_changes_memory_not_results(whole_run, recipe_file, tmp_path, silent):
    other = train(recipe_file, tmp_path / "run", ["gradient_checkpointing=true"], console=silent)
    expected = weights(whole_run)
    for key, value in weights(other).items():
        torch.testing.assert_close(value, expected[key], rtol=1e-5, atol=1e-6)  # sums in another order


def test_bfloat16_trains_float32_weights(recipe_file, tmp_path, silent):
    folder = train(recipe_file, tmp_path / "run", ["precision=bfloat16", "optim.steps=1"], console=silent)
    assert {value.dtype for value in weights(folder).values()} == {torch.float32}
    assert math.isfinite(curve(folder)[0]["loss"])


def test_files_train_for_epochs(recipe_file, record_file, whole_run, tmp_path, silent):
    changes = [
        "model.new=null",
        f"model.from={whole_run}",
        "data.synthetic=null",
        f"data.files=[{{path: {record_file}}}]",
        "optim.steps=null",
        "optim.epochs=2",
    ]
    folder = train(recipe_file, tmp_path / "run", changes, console=silent)
    assert "counting the positions of 20 records" in silent.file.getvalue()
    assert len(curve(folder)) == json.loads((folder / "trainer_state.json").read_text())["max_steps"] >= 4


@pytest.mark.parametrize("muon", [False, True])
def test_a_step_of_texts_alone_trains_no_projector_and_ends_nothing(
    recipe_file, tmp_path, silent, monkeypatch, muon
):
    turns = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello."}]
    (tmp_path / "texts.jsonl").write_text(json.dumps({"conversations": turns}))
    monkeypatch.setattr(building, "build_model", lambda recipe: oryx.load("nano"))
    changes = [
        "train=[projector]",
        "data.synthetic=null",
        f"data.files=[{{path: {tmp_path / 'texts.jsonl'}}}]",
        "optim.steps=2",
        f"optim.optimizer={'muon' if muon else 'adamw'}",
        "save_every=1",
    ]
    folder = train(recipe_file, tmp_path / "run", changes, console=silent)
    assert len(curve(folder)) == 2
    before = oryx.load("nano")[0].state_dict()
    assert_same(weights(folder), {key: before[key] for key in weights(folder)})


class SevenBatchesAnEpoch:
    def num_batches(self, epochs):
        return math.ceil(7 * epochs)


@pytest.mark.parametrize(
    ("epochs", "accumulation", "processes", "steps"),
    [(1, 1, 1, 7), (2, 1, 1, 14), (2, 3, 1, 5), (2, 1, 4, 4), (2, 3, 4, 2), (0.1, 1, 8, 1)],
)
def test_an_epoch_is_shared_by_all_processes(recipe_file, epochs, accumulation, processes, steps):
    changes = [
        "data.synthetic=null",
        "data.files=[{path: x}]",
        "optim.steps=null",
        f"optim.epochs={epochs}",
        f"batch.gradient_accumulation={accumulation}",
    ]
    recipe = load_recipe(recipe_file, changes)
    assert count_steps(recipe, SevenBatchesAnEpoch(), processes) == steps


def test_steps_are_steps_for_any_number_of_processes(recipe_file):
    assert count_steps(load_recipe(recipe_file), SevenBatchesAnEpoch(), 4) == 6


def test_the_trainer_says_how_many_processes_there_are(
    recipe_file, record_file, tmp_path, silent, monkeypatch
):
    seen = []
    monkeypatch.setattr(trainer_module.TrainingArguments, "world_size", property(lambda _: 4))
    monkeypatch.setattr(
        trainer_module, "count_steps", lambda recipe, batches, processes: seen.append(processes) or 3
    )
    recipe = load_recipe(recipe_file)
    model, processor = building.build_model(recipe)
    folder = trainer_module.RunFolder(tmp_path)
    trainer = trainer_module.OryxTrainer(
        model, processor, recipe, SevenBatchesAnEpoch(), folder, console=silent
    )
    trainer.reporter.close()
    assert seen == [4]
    assert trainer.args.max_steps == trainer.num_steps == 3


def test_one_process_takes_one_gpu(recipe_file, tmp_path, monkeypatch):
    """transformers would cut what it is given into a piece for each GPU, and packed rows cannot be."""
    begin = TrainingArguments.__post_init__

    def find_four(arguments):
        begin(arguments)
        arguments._n_gpu = 4

    monkeypatch.setattr(TrainingArguments, "__post_init__", find_four)
    recipe = load_recipe(recipe_file)
    assert trainer_module._arguments(recipe, tmp_path, recipe.parallel, has_experts=False).n_gpu == 1


def test_a_loss_that_is_no_number_stops_the_run(recipe_file, tmp_path, silent):
    changes = ["optim.learning_rate=1e30", "optim.warmup_steps=0", "optim.max_grad_norm=0"]
    with pytest.raises(
        OryxError,
        match=r"the loss is nan at step 2 \((sample \d+ \(skill words\), ){7}.* and \d+ more\); look at",
    ):
        train(recipe_file, tmp_path / "run", changes, console=silent)
    assert not (tmp_path / "run" / "config.json").exists()


@pytest.mark.parametrize("max_grad_norm", [1, 0])
def test_a_gradient_that_is_no_number_stops_the_run_before_the_weights_change(
    recipe_file, tmp_path, silent, monkeypatch, max_grad_norm
):
    """The loss is finite; the slope of a square root at zero is not."""
    forward, calls = OryxForConditionalGeneration.forward, []

    def steep(model, **inputs):
        outputs = forward(model, **inputs)
        calls.append(outputs)
        if len(calls) == 4:
            outputs.loss = outputs.loss + (0 * model.projector.begin).sum().sqrt()
        return outputs

    monkeypatch.setattr(OryxForConditionalGeneration, "forward", steep)
    changes = ["save_every=1", f"optim.max_grad_norm={max_grad_norm}"]
    with pytest.raises(OryxError, match=r"the gradient's norm is nan at step 4 \(sample \d+"):
        train(recipe_file, tmp_path / "run", changes, console=silent)
    assert sorted(path.name for path in (tmp_path / "run").glob("checkpoint-*")) == [
        "checkpoint-2",
        "checkpoint-3",
    ]
    assert all(value.isfinite().all() for value in weights(tmp_path / "run" / "checkpoint-3").values())


def test_a_finished_run_is_not_overwritten(whole_run, recipe_file, silent):
    before = weights(whole_run)
    with pytest.raises(ConfigError, match="is finished"):
        train(recipe_file, whole_run, console=silent)
    with pytest.raises(ConfigError, match="another recipe"):
        train(recipe_file, whole_run, ["optim.steps=7"], console=silent)
    assert_same(weights(whole_run), before)


def test_a_full_disk_keeps_the_checkpoint_before(recipe_file, tmp_path, silent, monkeypatch):
    original = torch.save

    def save(what, path, *args, **kwargs):
        if "checkpoint-6" in str(path):
            raise OSError(28, "No space left on device")
        return original(what, path, *args, **kwargs)

    folder = tmp_path / "run"
    with monkeypatch.context() as context:
        context.setattr(torch, "save", save)
        with pytest.raises(OryxError, match=r"checkpoint-6 could not be written.*checkpoint-3 is whole"):
            train(recipe_file, folder, console=silent)
    assert not (folder / "checkpoint-6").exists()
    train(recipe_file, folder, console=silent)
    assert (folder / "config.json").is_file()
