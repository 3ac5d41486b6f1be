"""A recipe small enough that a step takes milliseconds, and a data file to train on."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image
from rich.console import Console

from oryx.processing.processor import OryxProcessor
from oryx.training.building import build_model
from oryx.training.recipe import Recipe, load_recipe

TINY: dict[str, Any] = {
    "model": {
        "new": {
            "vision": {
                "hidden_size": 32,
                "intermediate_size": 48,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "position_embedding": "rotary",
            },
            "text": {
                "model_type": "qwen2",
                "hidden_size": 32,
                "intermediate_size": 48,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "num_key_value_heads": 1,
            },
            "compressor_dim": 16,
            "spelling_samples": 10,
        },
        "processor": {
            "system_prompt": "",
            "resize_rule": {
                "patch_size": 8,
                "image_multiple": 16,
                "low_area": 512,
                "native_area": 2048,
                "icon_side": 8,
                "icon_target": 16,
            },
        },
    },
    "data": {
        "synthetic": {
            "seed": 3,
            "skills": {"words": {"letters": [1, 2], "fonts": ["default"], "detail": "low", "marks": False}},
        }
    },
    "optim": {"steps": 6, "learning_rate": 3e-3, "warmup_steps": 2, "weight_decay": 0.1},
    "batch": {"row_length": 192, "rows": 2},
    "precision": "float32",
    "num_workers": 0,
    "log_every": 1,
    "save_every": 3,
}


@pytest.fixture(autouse=True)
def _one_thread():
    """Tiny tensors: threads only wait for each other. The recipe of a test may change the number."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def settings() -> dict[str, Any]:
    """The tiny recipe as plain values, to change."""
    return deepcopy(TINY)


@pytest.fixture
def write_recipe(tmp_path: Path) -> Callable[..., Path]:
    """Writes plain values as a recipe's file."""

    def write(settings: Any, name: str = "recipe.yaml") -> Path:
        path = tmp_path / name
        path.write_text(yaml.safe_dump(settings), encoding="utf-8")
        return path

    return write


@pytest.fixture
def recipe_file(write_recipe: Callable[..., Path]) -> Path:
    """The tiny recipe as a file."""
    return write_recipe(TINY)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder of the test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "oryx" / "data"


@pytest.fixture
def recipe(recipe_file: Path) -> Recipe:
    """The tiny recipe."""
    return load_recipe(recipe_file)


@pytest.fixture
def built(recipe: Recipe) -> tuple[Any, OryxProcessor]:
    """Its model and processor."""
    return build_model(recipe)


@pytest.fixture
def processor(built: tuple[Any, OryxProcessor]) -> OryxProcessor:
    """Its processor."""
    return built[1]


@pytest.fixture
def silent() -> Console:
    """A console whose text can be read from `.file`."""
    return Console(file=StringIO(), width=200)


@pytest.fixture
def record_file(tmp_path: Path) -> Path:
    """Twenty records in the LLaVA layout: with a picture, with two, and with none."""
    records = []
    for number in range(20):
        names = [f"{number}_{part}.png" for part in range(number % 3)]
        for name in names:
            Image.new("RGB", (20 + 3 * number, 24), (10 * number, 0, 0)).save(tmp_path / name)
        question = "<image>\n" * len(names) + f"Question {number}?"
        turns = [{"from": "human", "value": question}, {"from": "gpt", "value": "word " * (number + 1)}]
        record: dict[str, Any] = {"id": number, "conversations": turns}
        if names:
            record["image"] = names if len(names) > 1 else names[0]
        records.append(record)
    path = tmp_path / "records.json"
    path.write_text(json.dumps(records), encoding="utf-8")
    return path
