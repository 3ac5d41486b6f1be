"""DeepSpeed's ZeRO-3 on two gloo processes trains as one process does, and goes on where it stopped.

DS_BUILD_OPS=0 DS_ACCELERATOR=cpu pip install --no-build-isolation deepspeed
pytest -m slow tests/unit/training/test_deepspeed.py
"""

import json
import os
import re
from io import StringIO
from pathlib import Path

import pytest
import torch
import yaml
from ranks import run_ranks
from rich.console import Console
from safetensors.torch import load_file

import oryx
from oryx.errors import OryxError
from oryx.model.modeling import OryxForConditionalGeneration
from oryx.training.chain import train_chain
from oryx.training.data import SyntheticBatches
from oryx.training.running import train

pytest.importorskip("deepspeed")
pytestmark = pytest.mark.slow

ZERO3 = Path(__file__).parents[3] / "recipes" / "parallel" / "zero3.json"
DEEPSPEED = f"parallel={{strategy: deepspeed, deepspeed_config: {ZERO3}}}"
TWO_BATCHES = "batch.gradient_accumulation=2"


def curve(folder):
    return [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]


def run(recipe, output, changes, texts=(), nan_at=None):
    """Train in this process; what it printed, or the error it ended with.

    Batches in `texts` hold no visual; the gradient of call `nan_at` of the model is no number.
    """
    os.environ["DS_ACCELERATOR"] = "cpu"
    console = Console(file=StringIO(), width=200)
    original, forward = SyntheticBatches.__getitem__, OryxForConditionalGeneration.forward
    calls = []

    def get(self, number):
        if number in texts:
            turns = [{"from": "human", "value": f"Say {number}"}, {"from": "gpt", "value": "a b c"}]
            return self.packer.pack([self.packer.encode("a text", turns, [])], ["a text"])
        return original(self, number)

    def compute(self, **inputs):
        outputs = forward(self, **inputs)
        calls.append(0)
        if len(calls) == nan_at:
            outputs.loss.register_hook(lambda gradient: gradient * float("nan"))
        return outputs

    SyntheticBatches.__getitem__, OryxForConditionalGeneration.forward = get, compute
    try:
        train(recipe, output, changes, console=console)
    except OryxError as error:
        return str(error)
    finally:
        SyntheticBatches.__getitem__, OryxForConditionalGeneration.forward = original, forward
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("changes", "texts"),
    [([], ()), (["train=[compressor,projector,language_model]"], ()), ([], (0, 3))],
    ids=["all parts", "frozen tower", "text alone on one process"],
)
def test_two_processes_train_as_one(recipe_file, tmp_path, changes, texts):
    run(recipe_file, tmp_path / "one", [*changes, TWO_BATCHES], texts)
    said, _ = run_ranks(2, run, recipe_file, tmp_path / "two", [*changes, DEEPSPEED], texts)
    assert "step 6/6" in said, said
    assert curve(tmp_path / "two") == pytest.approx(curve(tmp_path / "one"), abs=1e-4)
    expected, found = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    assert found.keys() == expected.keys()
    for key, value in found.items():
        torch.testing.assert_close(value, expected[key], atol=3e-4, rtol=1e-3, msg=key)
    for folder in (tmp_path / "two", tmp_path / "two" / "checkpoint-6"):
        oryx.load(folder)


def test_bfloat16_sums_gradients_in_float32(recipe_file, tmp_path):
    run(recipe_file, tmp_path / "one", [TWO_BATCHES])
    said, _ = run_ranks(2, run, recipe_file, tmp_path / "two", ["precision=bfloat16", DEEPSPEED])
    assert "step 6/6" in said, said
    assert curve(tmp_path / "two") == pytest.approx(curve(tmp_path / "one"), abs=0.03)


def test_it_goes_on_where_it_stopped_with_as_many_processes(recipe_file, tmp_path):
    run_ranks(2, run, recipe_file, tmp_path / "whole", [DEEPSPEED])
    run_ranks(2, run, recipe_file, tmp_path / "run", [DEEPSPEED, "optim.max_minutes=1e-9", "save_every=2"])
    said, _ = run_ranks(2, run, recipe_file, tmp_path / "run", [DEEPSPEED])
    assert "going on from" in said, said
    assert curve(tmp_path / "run") == pytest.approx(curve(tmp_path / "whole"), abs=1e-6)
    said = run(recipe_file, tmp_path / "run", [DEEPSPEED, TWO_BATCHES])
    assert "which DeepSpeed reads with as many alone, not with 1" in said


def test_a_gradient_that_is_no_number_ends_the_run(recipe_file, tmp_path):
    said = run_ranks(2, run, recipe_file, tmp_path / "run", [DEEPSPEED, "save_every=2"], (), 4)
    assert all(re.match(r"the gradient's norm is (nan|inf) at step 4 \(sample", text) for text in said), said
    assert (tmp_path / "run" / "checkpoint-2").is_dir()
    assert not (tmp_path / "run" / "checkpoint-4").exists()


def chain(path, output):
    """Both parts in this process; what was printed."""
    os.environ["DS_ACCELERATOR"] = "cpu"
    console = Console(file=StringIO(), width=200)
    train_chain(path, output, [DEEPSPEED], console)
    return console.file.getvalue()


def test_a_chain_goes_on_from_part_to_part(recipe_file, tmp_path):
    settings = yaml.safe_load(recipe_file.read_text())
    first = {**settings, "output": "runs/first"}
    second = {**settings, "output": "runs/second", "model": {"from": "runs/first"}}
    for name, content in (("first", first), ("second", second)):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(content))
    (tmp_path / "all.yaml").write_text("parts: [first.yaml, second.yaml]")
    said, _ = run_ranks(2, chain, tmp_path / "all.yaml", tmp_path / "out")
    assert said.count("step 6/6") == 2, said
    oryx.load(tmp_path / "out" / "second")
