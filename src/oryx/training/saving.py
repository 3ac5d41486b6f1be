"""Checkpoints and the finished model: whole or not there at all, from one process or many.

A checkpoint holds the weights as a model that `oryx.load` reads (with LoRA: what learns, alone), the state of
the optimiser, of the schedule and of each process's random numbers, and `trainer_state.json`.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Trainer
from transformers.trainer import OPTIMIZER_NAME, SCHEDULER_NAME

from oryx.errors import CheckpointError
from oryx.loading import load
from oryx.model.modeling import OryxForConditionalGeneration
from oryx.processing.processor import OryxProcessor
from oryx.training import lora, sharding
from oryx.training.building import build_model
from oryx.training.distributed import World
from oryx.training.folder import STATE, RunFolder
from oryx.training.recipe import Recipe
from oryx.training.resuming import read_step


class WholeCheckpoints(Trainer):
    """The Trainer's checkpoints, staged and moved, for each strategy. Subclasses set what is named here."""

    recipe: Recipe
    folder: RunFolder
    world: World
    is_sharded: bool
    _own_model: OryxForConditionalGeneration
    _processor: OryxProcessor
    _marks: Sequence[float] | None = None
    """Of the model that adapters are learned on, on rank 0."""
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
        lora.save_adapter(folder, section, weights, self.recipe.model.from_, self._marks)

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
                    base = build_model(self.recipe)[0]
                    lora.check_base(self._marks, lora.read_marks(base))
                    model = lora.merge(base, self.recipe.lora, weights)
                    weights = None
                model.config.use_cache = True
                model.save_pretrained(staging, state_dict=weights)
                self._processor.save_pretrained(staging)
                self.state.save_to_json(str(staging / STATE))

    # --- reading ------------------------------------------------------------------------------------------

    def check_rest(self, folder: Path) -> None:
        """Refuse a checkpoint of which the Trainer would do without a file, or not name the damaged one.

        Raises:
            CheckpointError: that file is missing or damaged.
        """
        state = folder / STATE
        _require(state)
        try:
            int(json.loads(state.read_text(encoding="utf-8"))["global_step"])
        except (OSError, ValueError, KeyError, TypeError):
            raise CheckpointError(f"{state} is damaged; remove that checkpoint.") from None
        if read_step(folder)[0] != self.world.size:  # its random numbers are of no use to others
            return
        random = folder / ("rng_state.pth" if self.world.size == 1 else f"rng_state_{self.world.rank}.pth")
        _require(random)
        try:
            with zipfile.ZipFile(random) as archive:
                is_whole = archive.testzip() is None
        except (OSError, zipfile.BadZipFile):
            is_whole = False
        if not is_whole:
            raise CheckpointError(f"{random} cannot be read; remove that checkpoint.")

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        """Every weight, where the Trainer would go on without those that it does not find."""
        folder = Path(resume_from_checkpoint)
        weights: dict[str, Tensor] = {}
        with self.world.together():
            if self.recipe.lora is not None:
                weights = lora.read_adapter(folder, self._own_model, self._marks)
            elif self.world.is_main or not self.is_sharded:
                weights = _read_model(folder, self._own_model)
        if self.is_sharded:
            sharding.load_weights(self._own_model, weights)
        else:
            self._own_model.load_state_dict(weights, strict=self.recipe.lora is None)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """Both, where the Trainer would go on with neither if one is missing.

        The optimiser's state may be whole or in shards: the number of processes may have changed.
        """
        if checkpoint is None or self.is_deepspeed_enabled:
            super()._load_optimizer_and_scheduler(checkpoint)
            return
        assert self.lr_scheduler is not None
        folder, state = Path(checkpoint), None
        with self.world.together():
            schedule = _read_state(folder / SCHEDULER_NAME)
            if not (folder / sharding.OPTIMIZER).is_dir():
                state = _read_state(folder / OPTIMIZER_NAME, mmap=self.is_sharded)
        if state is None:
            sharding.load_optimizer(self._own_model, self._bare_optimizer, folder)
        else:
            if self.is_sharded:
                state = sharding.share_state(self._bare_optimizer, state)
            self._bare_optimizer.load_state_dict(state)
        self.lr_scheduler.load_state_dict(schedule)

    @property
    def _bare_optimizer(self) -> Any:
        """Without accelerate's wrapper."""
        return getattr(self.optimizer, "optimizer", self.optimizer)


def _read_model(folder: Path, model: nn.Module) -> dict[str, Tensor]:
    """All weights of a checkpoint, under the names of `model`: on disk those of experts have others.

    Raises:
        CheckpointError: it cannot be read, or is another model's.
    """
    weights = load(folder, dtype="float32", device="cpu")[0].state_dict()
    found, expected = (
        {(name, tensor.shape) for name, tensor in state.items()} for state in (weights, model.state_dict())
    )
    if found != expected:
        odd = ", ".join(sorted({name for name, _ in found ^ expected})[:3])
        raise CheckpointError(f"{folder} does not hold the model that this recipe trains ({odd}).")
    return weights


def _require(file: Path) -> None:
    if not file.is_file():
        raise CheckpointError(
            f"{file} is missing, without which the run cannot go on as it was; bring it back, or remove that "
            "checkpoint."
        )


def _read_state(file: Path, mmap: bool = False) -> dict[str, Any]:
    """What `torch.save` wrote.

    Raises:
        CheckpointError: it is missing or damaged.
    """
    _require(file)
    try:
        return torch.load(file, map_location="cpu", weights_only=True, mmap=mmap)
    except Exception as error:  # zip files, pickles and torch have no error in common
        reason = " ".join(str(error).split()).rstrip(".")
        raise CheckpointError(f"{file} cannot be read ({reason}); remove that checkpoint.") from None
