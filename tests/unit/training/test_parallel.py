"""Two gloo processes train as one does: the same losses, one folder, and one sentence when something is wrong."""

import json
import os
import signal
from contextlib import nullcontext
from io import StringIO
from pathlib import Path

import pytest
import torch
from ranks import RankFailed, run_ranks
from rich.console import Console
from safetensors.torch import load_file

import oryx
from oryx.errors import OryxError
from oryx.training import trainer as trainer_module
from oryx.training.data import SyntheticBatches
from oryx.training.trainer import train

TWO_BATCHES = "batch.gradient_accumulation=2"
STRATEGIES = ["ddp", "fsdp2"]


def strategy(name: str) -> str:
    return f"parallel.strategy={name}"


def curve(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]


def run(recipe, output, changes, break_at=None, kind=None):
    """Train in this process; what it printed, or the error it ended with."""
    console = Console(file=StringIO(), width=200)
    original = SyntheticBatches.__getitem__

    def get(self, number):
        if number == break_at:
            if kind == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise (OryxError if kind == "data" else ZeroDivisionError)("sample 7 is broken.")
        return original(self, number)

    SyntheticBatches.__getitem__ = get
    try:
        train(recipe, output, changes, console=console)
    except OryxError as error:
        return str(error), error.is_echo
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
