"""`torchrun` and `accelerate launch` start `oryx train` as the documentation says."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import oryx

ROOT = Path(__file__).parents[2]
TINY = {
    "model": {
        "from": "nano",
    },
    "data": {"synthetic": {"skills": {"words": {"letters": [1, 2], "fonts": ["default"], "detail": "low"}}}},
    "optim": {"steps": 2, "learning_rate": 1e-5},
    "batch": {"row_length": 192, "rows": 1},
    "precision": "float32",
    "num_workers": 0,
    "log_every": 1,
}
TORCHRUN = ["torch.distributed.run", "--nproc-per-node", "2"]
ACCELERATE = ["accelerate.commands.launch", "--num_processes", "2", "--config_file"]


def launch(launcher: list[str], *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *launcher, "-m", "oryx", "train", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=300, check=False
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("launcher", "changes", "optimizer"),
    [
        (TORCHRUN, [], "optimizer.pt"),
        (TORCHRUN, ["--set", "parallel.strategy=fsdp2"], "optimizer"),
        ([*ACCELERATE, "recipes/parallel/accelerate_fsdp2.yaml"], [], "optimizer"),
    ],
    ids=["torchrun", "torchrun, fsdp2", "accelerate, fsdp2"],
)
def test_two_processes_leave_one_model(tmp_path, launcher, changes, optimizer):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(TINY))
    done = launch(launcher, recipe, "--output", tmp_path / "run", *changes)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("What is trained") == 1
    assert done.stdout.count("step 2/2") == 1
    assert done.stdout.count("The model is in") == 1
    assert len((tmp_path / "run" / "log.jsonl").read_text().splitlines()) == 2
    checkpoint = tmp_path / "run" / "checkpoint-2"
    assert (checkpoint / optimizer).exists()
    assert sorted(path.name for path in checkpoint.glob("rng_state*")) == [
        "rng_state_0.pth",
        "rng_state_1.pth",
    ]
    assert json.loads((tmp_path / "run" / "trainer_state.json").read_text())["global_step"] == 2
    oryx.load(tmp_path / "run", device="cpu")


@pytest.mark.slow
def test_a_mistake_is_said_once(tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump({**TINY, "train": []}))
    done = launch(TORCHRUN, recipe, "--output", tmp_path / "run")
    assert done.returncode != 0
    said = [line for line in done.stderr.splitlines() if line.startswith("oryx: ")]
    assert len(said) == 1
    assert "train is empty, so everything would be frozen" in said[0]
    assert not (tmp_path / "run").exists()
