"""Checkpoints and the finished model: whole or not there at all, from one process or many.

A checkpoint holds the weights as a model that `oryx.load` reads (with LoRA: what learns, alone), the state of
the optimiser, of the schedule and of each process's random numbers, and `trainer_state.json`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Trainer
from transformers.trainer import SCHEDULER_NAME

from oryx.model.modeling import OryxForConditionalGeneration
from oryx.processing.processor import OryxProcessor
from oryx.training import lora, sharding
from oryx.training.building import build_model
from oryx.training.distributed import World
from oryx.training.folder import STATE, RunFolder
from oryx.training.recipe import Recipe


class WholeCheckpoints(Trainer):
    """The Trainer's checkpoints, staged and moved, for each strategy. Subclasses set what is named here."""

    recipe: Recipe
    folder: RunFolder
    world: World
    is_sharded: bool
    _own_model: OryxForConditionalGeneration
    _processor: OryxProcessor
    _staging: Path | None = None
    _gathered: dict[str, Tensor] | None = None

    def gather_weights(self) -> dict[str, Tensor] | None:
        """What rank 0 writes: with LoRA all that learns, else all weights. None where the model has them."""
        has_adapters = self.recipe.lora is not None
        if self.is_sharded:
            return sharding.gather_weights(self._own_model, only_learned=has_adapters)
        learned = lora.learned_weights(self._own_model) if has_adapters else None
        if self.is_deepspeed_enabled:
            weights = self.accelerator.get_state_dict(self.deepspeed)
            return (
                weights if learned is None else {name: weights[name] for name in learned if name in weights}
            )
        return learned

    # --- writing ------------------------------------------------------------------------------------------

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Written elsewhere, then moved: a checkpoint that can be seen is whole."""
        name = f"checkpoint-{self.state.global_step}"
        self._gathered = self.gather_weights()
        with self.folder.write(name, keep=self.folder.keep_checkpoint) as staging:
            self._staging = staging
            try:
                if self.is_sharded:  # all ranks together, before any of them can fail alone
                    sharding.save_optimizer(self._own_model, self._bare_optimizer, staging / name)
                super()._save_checkpoint(model, trial)
            finally:
                self._staging = self._gathered = None

    def _get_output_dir(self, trial: Any) -> str:
        return str(self._staging) if self._staging else super()._get_output_dir(trial)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """The weights and the processor, by rank 0."""
        if not self.world.is_main:
            return
        if self.recipe.lora is None:
            self._save(output_dir, state_dict=self._gathered)
        else:
            assert output_dir is not None
            self._save_adapter(Path(output_dir), self._gathered)
            self._processor.save_pretrained(output_dir)

    def _save_adapter(self, folder: Path, weights: dict[str, Tensor] | None) -> None:
        section = self.recipe.lora
        assert section is not None
        assert weights is not None
        lora.save_adapter(folder, section, weights, self.recipe.model.from_)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if not self.is_sharded:
            super()._save_optimizer_and_scheduler(output_dir)
        elif self.world.is_main:
            assert self.lr_scheduler is not None
            torch.save(self.lr_scheduler.state_dict(), Path(output_dir) / SCHEDULER_NAME)

    def export(self) -> None:
        """The model, its processor and the log, in the run's folder."""
        weights = self.gather_weights()
        with self.folder.write("the model", keep=self.folder.keep_files) as staging:
            if self.world.is_main:
                model = self._own_model
                if self.recipe.lora is not None:
                    assert weights is not None
                    self._save_adapter(staging / lora.ADAPTER, weights)
                    # Not the model in memory: its frozen weights may be rounded, or shared out.
                    model = lora.merge(build_model(self.recipe)[0], self.recipe.lora, weights)
                    weights = None
                model.config.use_cache = True
                model.save_pretrained(staging, state_dict=weights)
                self._processor.save_pretrained(staging)
                self.state.save_to_json(str(staging / STATE))

    # --- reading ------------------------------------------------------------------------------------------

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        has_adapters, folder = self.recipe.lora is not None, Path(resume_from_checkpoint)
        if not self.is_sharded and not has_adapters:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            return
        weights: dict[str, Tensor] = {}
        with self.world.together():
            if has_adapters:
                weights = lora.read_adapter(folder, self._own_model)
            elif self.world.is_main:
                weights = sharding.read_weights(folder)
        if self.is_sharded:
            sharding.load_weights(self._own_model, weights)
        else:
            self._own_model.load_state_dict(weights, strict=False)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        # Shards are read by whatever goes on with them: more processes, fewer, or one.
        if checkpoint is None or not (self.is_sharded or (Path(checkpoint) / sharding.OPTIMIZER).is_dir()):
            super()._load_optimizer_and_scheduler(checkpoint)
            return
        assert self.lr_scheduler is not None
        sharding.load_optimizer(self._own_model, self._bare_optimizer, Path(checkpoint))
        schedule = torch.load(Path(checkpoint) / SCHEDULER_NAME, weights_only=True)
        self.lr_scheduler.load_state_dict(schedule)

    @property
    def _bare_optimizer(self) -> Any:
        """Without accelerate's wrapper."""
        return getattr(self.optimizer, "optimizer", self.optimizer)
