"""The recipe that shows within a minute that training works."""

import json
from io import StringIO
from pathlib import Path

import torch
from PIL import Image
from rich.console import Console

import oryx
from oryx.training.running import train

RECIPE = Path(__file__).parents[2] / "recipes" / "nano" / "smoke.yaml"


def test_its_loss_falls_by_half_and_its_model_loads(tmp_path):
    threads = torch.get_num_threads()
    try:
        folder = train(RECIPE, output=tmp_path / "run", console=Console(file=StringIO()))
    finally:
        torch.set_num_threads(threads)
    history = json.loads((folder / "trainer_state.json").read_text())["log_history"]
    losses = [entry["loss"] for entry in history if "loss" in entry]
    assert losses[-1] < losses[0] / 2
    model, processor = oryx.load(folder)
    tokens = oryx.encode(model, processor, {"type": "image", "image": Image.new("RGB", (40, 30))})
    assert tokens.shape[1] == model.config.text_config.hidden_size
