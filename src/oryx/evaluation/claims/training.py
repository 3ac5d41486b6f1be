"""Trains one arm for one seed, with the package's own Trainer, in a folder where a cut run goes on."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from safetensors.torch import load_model
from torch import nn

from oryx.evaluation.claims.arms import NANO, NEW, Arm, plain
from oryx.evaluation.claims.connectors import make_connector
from oryx.evaluation.claims.materials import material_of, shown
from oryx.evaluation.claims.views import PATCH
from oryx.fields import build
from oryx.loading import load
from oryx.training.building import build_model
from oryx.training.data import SyntheticBatches
from oryx.training.folder import RunFolder
from oryx.training.recipe import Recipe
from oryx.training.stages import set_trainable
from oryx.training.trainer import OryxTrainer

WIDTH, RANGE = 96, 0.08
_VISION = {
    "hidden_size": WIDTH,
    "intermediate_size": 3 * WIDTH,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "position_embedding": "both",
    "position_grid_size": 16,
    "initializer_range": RANGE,
}
_TEXT = {
    "model_type": "qwen2",
    "hidden_size": WIDTH,
    "intermediate_size": 3 * WIDTH,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "num_key_value_heads": 3,
    "tie_word_embeddings": True,
    "rope_theta": 10000.0,
    "max_position_embeddings": 8192,
    "initializer_range": RANGE,
}
_RULE = {
    "patch_size": PATCH,
    "low_area": 576,
    "native_area": 16384,
    "image_multiple": PATCH,
    "icon_side": 8,
    "icon_target": 16,
    "video_min_area": 1024,
    "video_max_area": 6144,
    "video_multiple": 16,
    "video_multiple_16x": 32,
}


class ArmTrainer(OryxTrainer):
    """The Trainer for models whose connector is not in their config, so that `oryx.load` cannot read them."""

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        load_model(self._own_model, Path(resume_from_checkpoint) / "model.safetensors")


def recipe_of(arm: Arm, seed: int) -> Recipe:
    """The Trainer's recipe of an arm. Its data section is a stand-in: samples come from `material_of`."""
    new = {"vision": _VISION, "text": _TEXT, "compressor_dim": 48, "spelling_samples": 400}
    model: dict[str, Any] = {"from": NANO} if arm.start == NANO else {"new": new}
    if arm.start != NANO:
        model["processor"] = {"system_prompt": "", "resize_rule": _RULE}
    settings = {
        "model": model,
        "data": {"synthetic": {"seed": seed, "skills": {"object": {}}}},
        "optim": {
            "optimizer": "muon",
            "muon_multiplier": 4,
            "learning_rate": arm.learning_rate,
            "schedule": "linear",
            "warmup_steps": min(30, arm.steps // 4),
            "betas": [0.9, 0.98],
            "weight_decay": 0.05,
            "steps": arm.steps,
        },
        "batch": {"row_length": arm.row_length, "rows": arm.rows},
        "train": list(arm.train),
        "precision": "float32",
        "save_every": 200,
        "log_every": 25,
        "num_workers": 0,
        "num_threads": 1,
        "seed": seed,
    }
    return build(Recipe, settings, lambda key: key)


def model_settings(arm: Arm) -> dict[str, Any]:
    """What decides the weights that an arm begins with, and its optimiser; as JSON holds it."""
    recipe = recipe_of(arm, 0)
    return {"model": plain(recipe.to_dict()["model"]), "optim": plain(recipe.to_dict()["optim"])}


def build_arm(arm: Arm, seed: int, folders: Mapping[str, Path]) -> tuple[Any, Any]:
    """Model and processor before the training; `folders` are those of trained arms."""
    model: Any
    model, processor = build_model(recipe_of(arm, seed))
    if arm.start not in (NEW, NANO):
        load_model(model, folders[arm.start] / "model.safetensors")
    if arm.tower_of is not None:
        donor, _ = load(folders[arm.tower_of], dtype="float32", device="cpu")
        model.vision_tower.load_state_dict(donor.vision_tower.state_dict())
    torch.manual_seed(seed)
    fresh, _ = build_model(recipe_of(arm, seed)) if arm.fresh else (None, None)
    for part in arm.fresh:
        setattr(model, part, getattr(fresh, part))
    if arm.connector != "dynamic":
        model.register_module("compressor", make_connector(arm.connector, model.config, RANGE))
    return model, processor


def train_arm(
    arm: Arm, seed: int, folder: Path, folders: Mapping[str, Path], rooms: str | None = None
) -> tuple[Any, Any]:
    """The trained model and its processor; a finished run in the folder is read, a cut one goes on."""
    torch.set_flush_denormal(True)
    model, processor = build_arm(arm, seed, folders)
    recipe = recipe_of(arm, seed)
    if (folder / "model.safetensors").is_file():
        load_model(model, folder / "model.safetensors")
        return model.eval(), processor
    set_trainable(model, arm.train)
    batches = SyntheticBatches(processor, recipe.data, recipe.batch)
    batches.rows.source = shown(  # type: ignore[assignment]
        material_of(arm.material, 1000 * (seed + 1), rooms), arm
    )
    with closing(RunFolder(folder)) as run:
        checkpoint = run.open(recipe, "auto", "")
        trainer = ArmTrainer(model, processor, recipe, batches, run, Console(quiet=True))
        trainer.run(checkpoint)
        trainer.stopper.raise_signal()
    return model.eval(), processor
