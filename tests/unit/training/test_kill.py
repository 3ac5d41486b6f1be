"""A run that is killed, at any moment, goes on to the same bits; a disk that fills up loses nothing."""

import json
import os
import random
import resource
import signal
from io import StringIO
from pathlib import Path

import pytest
import torch
from ranks import RankFailed, run_ranks
from rich.console import Console
from safetensors.torch import load_file

from oryx.errors import OryxError
from oryx.training.running import train
from oryx.training.trainer import OryxTrainer

CHANGES = ["save_every=2", "model.new.text.attention_dropout=0.1", "batch.gradient_accumulation=2"]
TIMES = ("samples_per_second", "tokens_per_second", "data_wait", "seconds_left", "minutes")
# Where a process dies: what it was about to do.
MOMENTS = {
    "a batch": (OryxTrainer, "compute_loss"),
    "the optimiser's step": (torch.optim.AdamW, "step"),
    "a file of a checkpoint": (torch, "save"),
    "a move to its place": (os, "replace"),
    "a line of the log": (OryxTrainer, "log"),
}


def run_until(recipe, output, moment, count):
    """Train, and die by SIGKILL at the given moment of this process."""
    owner, name = MOMENTS[moment]
    original, calls = getattr(owner, name), []

    def counted(*args, **kwargs):
        calls.append(name)
        if len(calls) == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*args, **kwargs)

    setattr(owner, name, counted)
    train(recipe, output, CHANGES, console=Console(file=StringIO()))


def curve(folder: Path) -> list[dict]:
    """The log without what a clock says."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in TIMES} for line in lines]


def assert_same_runs(first: Path, second: Path) -> None:
    assert curve(first) == curve(second)
    expected, found = (load_file(folder / "model.safetensors") for folder in (first, second))
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []


def kill_and_go_on(recipe_file: Path, tmp_path: Path, silent: Console, kills: list[tuple[str, int]]) -> None:
    whole = train(recipe_file, tmp_path / "whole", CHANGES, console=silent)
    parts = tmp_path / "parts"
    for moment, count in kills:
        with pytest.raises(RankFailed, match="ended with -9"):
            run_ranks(1, run_until, recipe_file, parts, moment, count)
        assert not (parts / "config.json").exists()
    assert_same_runs(whole, train(recipe_file, parts, CHANGES, console=silent))


def test_threads_add_up_to_the_same_bits(write_recipe, settings, tmp_path, silent):
    # Each row of patches ends in the same newline: the threads that add up its gradient must not race. It
    # takes tensors of some size, or torch does not give them to threads.
    settings["data"]["synthetic"]["skills"] = {"object": {"canvas": [96, 96], "compression": [1]}}
    settings |= {"num_threads": 2, "batch": {"row_length": 1024, "rows": 4}}
    recipe = write_recipe(settings)
    runs = [train(recipe, tmp_path / f"run_{number}", console=silent) for number in range(3)]
    assert_same_runs(runs[0], runs[1])
    assert_same_runs(runs[0], runs[2])
    assert not torch.are_deterministic_algorithms_enabled()  # the caller's own setting is back


def test_killed_in_a_step_and_in_a_checkpoint(recipe_file, tmp_path, silent):
    # A checkpoint takes three files of torch; the sixth call is in the middle of the second one.
    kills = [("the optimiser's step", 4), ("a file of a checkpoint", 2)]
    kill_and_go_on(recipe_file, tmp_path, silent, kills)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_killed_anywhere(recipe_file, tmp_path, silent, seed):
    choose = random.Random(seed)
    kill_and_go_on(
        recipe_file, tmp_path, silent, [(choose.choice([*MOMENTS]), choose.randint(1, 2)) for _ in range(4)]
    )


@pytest.mark.parametrize("of", [pytest.param("model.safetensors", marks=pytest.mark.slow), "optimizer.pt"])
def test_a_disk_that_takes_only_a_part_of_a_file(recipe_file, tmp_path, silent, of):
    """The system itself refuses to write on, in the middle of a file."""
    whole = train(recipe_file, tmp_path / "whole", CHANGES, console=silent)
    folder = tmp_path / "run"
    original, soft = OryxTrainer._save_checkpoint, resource.getrlimit(resource.RLIMIT_FSIZE)
    size = (whole / "checkpoint-6" / of).stat().st_size

    def save(trainer, *args):
        if trainer.state.global_step == 4:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size - 1000, soft[1]))
        original(trainer, *args)

    with pytest.MonkeyPatch.context() as context:
        context.setattr(OryxTrainer, "_save_checkpoint", save)
        try:
            with pytest.raises(
                OryxError, match=r"^checkpoint-4 could not be written.*; \S+checkpoint-2 is whole\.$"
            ) as error:
                train(recipe_file, folder, CHANGES, console=silent)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, soft)
    assert "\n" not in str(error.value)
    assert [path.name for path in folder.glob("checkpoint-*")] == ["checkpoint-2"]
    assert not (folder / ".writing").exists()
    assert_same_runs(whole, train(recipe_file, folder, CHANGES, console=silent))
