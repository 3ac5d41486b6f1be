"""Two gloo processes train as one does: the same losses, one folder, one sentence when something is wrong."""

import json
import os
import re
import signal
from io import StringIO
from pathlib import Path

import pytest
import torch
from ranks import RankFailed, run_ranks
from rich.console import Console
from safetensors.torch import load_file

import oryx
from oryx.errors import OryxError
from oryx.model import loss as loss_module
from oryx.model.modeling import OryxForConditionalGeneration
from oryx.training import building
from oryx.training.building import build_model
from oryx.training.data import SyntheticBatches
from oryx.training.distributed import join_world
from oryx.training.recipe import load_recipe
from oryx.training.running import train
from oryx.training.sections.parallel import ParallelSection
from oryx.training.sharding import shard

TWO_BATCHES = "batch.gradient_accumulation=2"
STRATEGIES = ["ddp", "fsdp2"]


def strategy(name: str) -> str:
    return f"parallel.strategy={name}"


def curve(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]


def run(recipe, output, changes, break_at=None, kind=None, texts=(), chunk=0):
    """Train in this process; what it printed, or the error it ended with.

    Batch `break_at` breaks in the way of `kind`; batches in `texts` hold no visual; so many logits as `chunk`
    says exist at once.
    """
    if chunk:
        loss_module.CHUNK_VALUES["cpu"] = chunk
    console = Console(file=StringIO(), width=200)
    original, save = SyntheticBatches.__getitem__, torch.save
    forward = OryxForConditionalGeneration.forward
    broken = []

    def get(self, number):
        if number == break_at:
            if kind == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if kind in ("data", "bug"):
                raise (OryxError if kind == "data" else ZeroDivisionError)("sample 7 is broken.")
            broken.append(number)
        if number in texts:
            turns = [{"from": "human", "value": f"Say {number}"}, {"from": "gpt", "value": "a b c"}]
            return self.packer.pack([self.packer.encode("a text", turns, [])], ["a text"])
        return original(self, number)

    def compute(self, **inputs):
        outputs = forward(self, **inputs)
        if kind == "nan" and broken:
            outputs.loss = outputs.loss * float("nan")
        return outputs

    def fill(what, path, *args, **kwargs):
        if kind == "disk" and "scheduler" in str(path):
            raise OSError(28, "No space left on device")
        return save(what, path, *args, **kwargs)

    SyntheticBatches.__getitem__, torch.save = get, fill
    OryxForConditionalGeneration.forward = compute
    try:
        train(recipe, output, changes, console=console)
    except (OryxError, ZeroDivisionError) as error:
        return str(error), getattr(error, "is_echo", False)
    finally:
        SyntheticBatches.__getitem__, torch.save = original, save
        OryxForConditionalGeneration.forward = forward
    return console.file.getvalue()


@pytest.mark.parametrize("name", STRATEGIES)
def test_two_processes_train_as_one(recipe_file, tmp_path, silent, name):
    one = train(recipe_file, tmp_path / "one", [TWO_BATCHES], console=silent)
    two = tmp_path / "two"
    first, second = run_ranks(2, run, recipe_file, two, [strategy(name)])
    assert "What is trained" in first
    assert "step 6/6" in first
    assert second == ""
    assert curve(two) == pytest.approx(curve(one), abs=1e-4)
    expected = load_file(one / "model.safetensors")
    found = load_file(two / "model.safetensors")
    assert found.keys() == expected.keys()
    for key, value in found.items():
        torch.testing.assert_close(value, expected[key], atol=1e-4, rtol=1e-3, msg=key)
    assert sorted(path.name for path in two.iterdir()) == sorted(path.name for path in one.iterdir())
    for folder in (two, two / "checkpoint-6"):
        model, processor = oryx.load(folder)
        assert model.generate(**processor(text="Hi"), max_new_tokens=1).shape[0] == 1


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("fsdp2", "[compressor,projector,language_model]"),
        pytest.param("fsdp2", "[vision_tower,compressor,projector,language_model]", marks=pytest.mark.slow),
        pytest.param("fsdp2", "[projector]", marks=pytest.mark.slow),
        pytest.param("fsdp2", "[language_model]", marks=pytest.mark.slow),
        pytest.param("ddp", "[compressor,projector,language_model]", marks=pytest.mark.slow),
        pytest.param("ddp", "[vision_tower,compressor,projector,language_model]", marks=pytest.mark.slow),
        pytest.param("ddp", "[projector]", marks=pytest.mark.slow),
        pytest.param("ddp", "[language_model]", marks=pytest.mark.slow),
    ],
)
def test_a_process_without_visuals_waits_for_nobody(recipe_file, tmp_path, name, parts):
    """Batches 0, 3, 4 and 5 hold texts alone: on the first process, on the second, on both."""
    changes = [f"train={parts}", "optim.steps=4"]
    texts = (0, 3, 4, 5)
    run(recipe_file, tmp_path / "one", [*changes, TWO_BATCHES], None, None, texts)
    run_ranks(2, run, recipe_file, tmp_path / "two", [*changes, strategy(name)], None, None, texts)
    assert curve(tmp_path / "two") == pytest.approx(curve(tmp_path / "one"), abs=1e-4)


@pytest.mark.parametrize(
    ("kind", "speaker", "said"),
    [
        ("data", 1, "sample 7 is broken."),
        pytest.param(
            "bug",
            1,
            "process 1 ended with ZeroDivisionError: sample 7 is broken.",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "nan",
            1,
            r"the loss is nan at step 3 \(sample \d+ \(skill words\), .*\); look at these samples",
            marks=pytest.mark.slow,
        ),
        (
            "disk",
            0,
            r"checkpoint-3 could not be written to .*No space left on device.*no checkpoint before it",
        ),
    ],
)
def test_what_breaks_on_one_process_ends_both_with_one_sentence(recipe_file, tmp_path, kind, speaker, said):
    """In the third step, on the second process, or on the first, which alone writes."""
    results = run_ranks(2, run, recipe_file, tmp_path / "run", [strategy("fsdp2")], 5, kind)
    assert [is_echo for _, is_echo in results] == [speaker == 1, speaker == 0]
    for text, is_echo in results:
        assert re.search(said, text) if kind != "bug" or is_echo else "sample 7 is broken" in text
    assert not (tmp_path / "run" / ".writing").exists()
    assert not (tmp_path / "run" / "checkpoint-3").exists()


@pytest.mark.parametrize("name", ["fsdp2", pytest.param("ddp", marks=pytest.mark.slow)])
def test_a_killed_process_costs_nothing_but_time(recipe_file, tmp_path, name):
    changes = [strategy(name), "model.new.text.attention_dropout=0.1", "optim.optimizer=muon"]
    run_ranks(2, run, recipe_file, tmp_path / "whole", changes)
    parts = tmp_path / "parts"
    with pytest.raises(RankFailed, match="process 1 ended with -9"):
        run_ranks(2, run, recipe_file, parts, changes, 9, "kill")  # in the fifth step
    assert not (parts / "config.json").exists()
    first, _ = run_ranks(2, run, recipe_file, parts, changes)
    assert f"going on from {parts / 'checkpoint-3'}" in first
    assert curve(parts) == curve(tmp_path / "whole")
    expected, found = (load_file(tmp_path / run / "model.safetensors") for run in ("whole", "parts"))
    assert [key for key in expected if not torch.equal(expected[key], found[key])] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "chunk", "tolerance"),
    [
        (["gradient_checkpointing=true"], 500, 1e-4),
        (["model.new.text.tie_word_embeddings=true"], 500, 1e-4),
        (["parallel.cpu_offload=true", "parallel.reshard_after_forward=false"], 0, 1e-4),
        (["optim.optimizer=muon", "optim.max_grad_norm=0"], 0, 1e-4),
        (["lora.rank=4", "train=[projector,language_model]"], 0, 1e-4),
        # FSDP2 gathers every weight in bfloat16; autocast leaves norms and embeddings in float32.
        (["precision=bfloat16", "lora.rank=4", "train=[projector,language_model]"], 0, 0.03),
        (["precision=bfloat16"], 500, 0.03),
    ],
)
def test_shares_train_as_a_whole_with_every_setting(recipe_file, tmp_path, changes, chunk, tolerance):
    changes = [*changes, "model.new.vision.position_embedding=both"]
    run(recipe_file, tmp_path / "one", [*changes, TWO_BATCHES])
    run_ranks(2, run, recipe_file, tmp_path / "two", [*changes, strategy("fsdp2")], None, None, (), chunk)
    assert curve(tmp_path / "two") == pytest.approx(curve(tmp_path / "one"), abs=tolerance)
    expected, found = (load_file(tmp_path / run / "model.safetensors") for run in ("one", "two"))
    assert found.keys() == expected.keys()
    for key, value in found.items():
        assert value.dtype == expected[key].dtype
        torch.testing.assert_close(value, expected[key], atol=10 * tolerance, rtol=1e-3, msg=key)


@pytest.mark.slow
@pytest.mark.parametrize("changes", [[], ["lora.rank=4", "optim.optimizer=muon"]])
def test_one_process_goes_on_with_what_two_began(recipe_file, tmp_path, changes):
    """The same batches a step, so the same run, to the rounding of sums in another order."""
    changes = [*changes, strategy("fsdp2")]
    run(recipe_file, tmp_path / "one", [*changes, TWO_BATCHES])
    run_ranks(2, run, recipe_file, tmp_path / "parts", [*changes, "optim.max_minutes=1e-9"])
    said = run(recipe_file, tmp_path / "parts", changes)
    assert "keep processes x batch.gradient_accumulation as it was" in said[0]
    assert "going on from" in run(recipe_file, tmp_path / "parts", [*changes, TWO_BATCHES])
    assert curve(tmp_path / "parts") == pytest.approx(curve(tmp_path / "one"), abs=1e-4)
    assert len(curve(tmp_path / "parts")) == 6


@pytest.mark.slow
@pytest.mark.parametrize("changes", [[], ["lora.rank=4"]])
def test_two_processes_go_on_after_one_went_on_alone(recipe_file, tmp_path, changes):
    """One process writes the optimiser's state whole, and two take their shares of it."""
    changes = [*changes, strategy("fsdp2"), "optim.optimizer=muon"]
    run(recipe_file, tmp_path / "one", [*changes, TWO_BATCHES])
    parts, one_step = tmp_path / "parts", "optim.max_minutes=1e-9"
    run_ranks(2, run, recipe_file, parts, [*changes, one_step])
    run(recipe_file, parts, [*changes, one_step, TWO_BATCHES])
    assert (parts / "checkpoint-2" / "optimizer.pt").is_file()
    said, _ = run_ranks(2, run, recipe_file, parts, changes)
    assert f"going on from {parts / 'checkpoint-2'}" in said
    assert curve(parts) == pytest.approx(curve(tmp_path / "one"), abs=1e-4)
    assert len(curve(parts)) == 6


def held_by_each(recipe):
    """Share of the model's values that this process holds, and of its gradients after a step."""
    world = join_world()
    settings = load_recipe(recipe)
    model, processor = build_model(settings)
    whole = sum(weight.numel() for weight in model.parameters())
    shard(model, ParallelSection(strategy="fsdp2"), bfloat16=False)
    batch = SyntheticBatches(processor, settings.data, settings.batch)[world.rank]
    batch.pop("stats")
    model.train()
    model(**batch).loss.backward()
    gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
    return [
        sum(tensor.to_local().numel() for tensor in tensors) / whole
        for tensors in (list(model.parameters()), gradients)
    ]


def test_each_process_holds_its_share(recipe_file):
    for weights, gradients in run_ranks(2, held_by_each, recipe_file):
        assert weights == pytest.approx(0.5, abs=0.03)
        assert gradients <= weights


def share_out_nano(recipe):
    """Whether this process's weights are shapes alone at first; then they and its buffers must be nano's."""
    world = join_world()
    nano = oryx.load("nano", dtype="float32", device="cpu")[0]
    settings = load_recipe(recipe, ["model.new=null", "model.from=nano"])
    if not world.is_main:
        building.build_model = None  # it must not be called here
    model, _ = building.build_for(world, settings, is_sharded=True)
    before = [weight.is_meta for weight in model.parameters()]
    shard(model, ParallelSection(strategy="fsdp2"), bfloat16=False)
    for name, buffer in nano.named_buffers():
        torch.testing.assert_close(model.get_buffer(name), buffer, msg=name)
    for name, weight in nano.named_parameters():
        assert torch.equal(model.get_parameter(name).full_tensor(), weight), name
    return before


def test_only_rank_0_reads_the_weights(recipe_file):
    reader, other = run_ranks(2, share_out_nano, recipe_file)
    assert not any(reader)
    assert all(other)


@pytest.mark.slow
def test_what_rank_0_reads_is_what_is_trained_and_saved(recipe_file, tmp_path):
    changes = ["model.new=null", "model.from=nano", "optim.learning_rate=1e-12", "optim.steps=1"]
    changes += ["data.synthetic.skills.words.detail=high", "optim.weight_decay=0"]
    run_ranks(2, run, recipe_file, tmp_path / "run", [*changes, strategy("fsdp2")])
    nano = oryx.load("nano", dtype="float32", device="cpu")[0].state_dict()
    for name, value in load_file(tmp_path / "run" / "model.safetensors").items():
        torch.testing.assert_close(value, nano[name], atol=1e-6, rtol=1e-5, msg=name)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "package"), [("int8", "torchao"), ("nf4", "bitsandbytes")])
def test_copies_of_quantised_layers_train_as_one(recipe_file, tmp_path, kind, package):
    pytest.importorskip(package)
    changes = ["lora.rank=4", f"lora.quantize={kind}", "train=[projector,language_model]"]
    run(recipe_file, tmp_path / "one", [*changes, TWO_BATCHES])
    run_ranks(2, run, recipe_file, tmp_path / "two", changes)
    assert curve(tmp_path / "two") == pytest.approx(curve(tmp_path / "one"), abs=1e-4)
