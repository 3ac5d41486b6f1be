"""A `transformers.Trainer` over packed batches, exact in resuming, on one rank or many."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.utils.data import DataLoader
from transformers import TrainingArguments
from transformers.trainer_callback import PrinterCallback

from oryx.errors import OryxError
from oryx.model.loss import IGNORE_INDEX
from oryx.model.modeling import OryxForConditionalGeneration
from oryx.processing.processor import OryxProcessor
from oryx.training import sharding
from oryx.training.callbacks import LeaveUnused, StopAndSave
from oryx.training.data import STATS, Batches, BatchLoader, BatchStats, ResumingSampler
from oryx.training.distributed import is_lost_process
from oryx.training.folder import RunFolder
from oryx.training.muon import MuonAdamW
from oryx.training.progress import Meter, Reporter
from oryx.training.recipe import Recipe
from oryx.training.saving import WholeCheckpoints
from oryx.training.sections.parallel import ParallelSection
from oryx.training.stages import parameter_groups
from oryx.training.stopping import Stopper

VISION_PARTS = ("vision_tower", "compressor", "projector")
LISTED = 8
"""Samples that an error names, before it only counts them."""


class OryxTrainer(WholeCheckpoints):
    """The Trainer with what packed batches, exact resuming and several processes need; the loop is its."""

    def __init__(
        self,
        model: OryxForConditionalGeneration,
        processor: OryxProcessor,
        recipe: Recipe,
        batches: Batches,
        folder: RunFolder,
        console: Console,
        parallel: ParallelSection | None = None,
        marks: Sequence[float] | None = None,
    ) -> None:
        parallel = parallel or recipe.parallel
        self.recipe = recipe
        self.batches = batches
        self.folder = folder
        self.world = folder.world
        self.is_sharded = parallel.strategy == "fsdp2"
        self.meter = Meter(self.world)
        self.reporter = Reporter(folder.path / "log.jsonl", console)
        self.unused = LeaveUnused(model)
        self.stopper = Stopper(is_alone=self.world.size == 1)
        args = _arguments(recipe, folder.path, parallel, _has_experts(model))
        self.num_steps = count_steps(recipe, batches, args.world_size)
        args.max_steps = self.num_steps
        self.schedule = recipe.optim.make_schedule(self.num_steps)
        self._names: list[Sequence[str]] = []  # of each batch of the step
        self._turn = 0
        self._processor = processor
        self._own_model = model
        self._marks = marks
        if recipe.gradient_checkpointing:
            # transformers 5.23 gave the method a new name.
            newer = getattr(model, "activation_checkpointing_enable", None)
            (newer or model.gradient_checkpointing_enable)()
        if self.is_sharded:
            sharding.shard(model, parallel, bfloat16=recipe.precision == "bfloat16")
        elif recipe.lora is not None and recipe.lora.quantize != "none":
            # Packed weights cannot be sent around, and every process made the same.
            frozen = [name for name, weight in model.named_parameters() if not weight.requires_grad]
            model._ddp_params_and_buffers_to_ignore = frozen  # type: ignore[assignment]
        super().__init__(
            model=model,
            args=args,
            train_dataset=batches,
            processing_class=processor,
            callbacks=[
                StopAndSave(recipe.optim.max_minutes, self.stopper, self.world),
                self.unused,
                self.reporter,
            ],
        )
        self.remove_callback(PrinterCallback)
        self._clip = self.accelerator.clip_grad_norm_
        self.accelerator.clip_grad_norm_ = self._clip_checked

    @property
    def is_finished(self) -> bool:
        return self.state.global_step >= self.num_steps

    def run(self, checkpoint: Path | None) -> None:
        """Train from the checkpoint on, or from the beginning, and leave the model in the folder."""
        try:
            if checkpoint is not None:
                with self.world.together():
                    self.check_rest(checkpoint)
            with self.stopper:
                self.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
                # Whoever sends signals does not wait long, and the checkpoint has all of it.
                if self.stopper.share(self.world) is None or self.is_finished:
                    self.export()
                self.stopper.share(self.world)  # one that came meanwhile
        except Exception as error:
            if self.world.size > 1 and is_lost_process(error):
                raise OryxError(
                    "another process of the run ended, and says why; the same command goes on from the last "
                    "checkpoint."
                ) from error
            raise
        finally:
            self.reporter.close()

    # --- data ---------------------------------------------------------------------------------------------

    def get_train_dataloader(self) -> DataLoader:
        """Whole batches, not re-sharded: a packed tensor cannot be sliced by rows."""
        accumulation = self.args.gradient_accumulation_steps
        sampler = ResumingSampler(
            total=self.num_steps * accumulation,
            start=lambda: self.state.global_step * accumulation,
            rank=self.args.process_index,
            world_size=self.args.world_size,
        )
        pin_memory = self.args.device.type == "cuda"
        return BatchLoader(self.batches, sampler, self.recipe.num_workers, pin_memory, self.folder.path)

    def get_batch_samples(
        self, epoch_iterator: Iterator[dict[str, Any]], num_batches: int, device: torch.device
    ) -> tuple[list[dict[str, Any]], Tensor | int | None]:
        """The batches of one step, their statistics taken out, and the supervised positions of all processes.

        Raises:
            OryxError: a batch of this or another process cannot be made.
        """
        self.meter.start()
        began = time.perf_counter()
        batches: list[dict[str, Any]] = []
        problem: Exception | None = None
        try:
            batches = list(islice(epoch_iterator, num_batches))
        except Exception as error:
            problem = error
        self.meter.add_step(waited=time.perf_counter() - began)
        self._names, self._turn = [], 0
        for batch in batches:
            stats: BatchStats = batch.pop(STATS)
            self.meter.add(stats)
            self._names.append(stats.names)
        supervised = sum(int((batch["labels"][:, 1:] != IGNORE_INDEX).sum()) for batch in batches)
        seen = [compressions for batch in batches if (compressions := batch.get("compressions")) is not None]
        is_compressed = any(bool((compressions > 1).any()) for compressions in seen)
        self._learn_of(problem)
        num_items, seeing, compressing = self.world.sums([supervised, bool(seen), is_compressed])
        self.unused.parts = () if compressing else ("compressor",) if seeing else VISION_PARTS
        return batches, torch.tensor(max(int(num_items), 1), device=device)

    def _learn_of(self, problem: Exception | None) -> None:
        """Raise what any process has; cheaper than `agree` where none has anything."""
        if any(self.world.sums([problem is not None])):
            self.world.agree(problem)

    # --- placing and wrapping the model -------------------------------------------------------------------

    def _move_model_to_device(self, model: nn.Module, device: torch.device) -> None:
        if not self.is_sharded:  # shares are where they belong
            super()._move_model_to_device(model, device)

    def _wrap_model(self, model: nn.Module, *args: Any, **kwargs: Any) -> nn.Module:
        if not self.is_sharded:
            return super()._wrap_model(model, *args, **kwargs)
        return sharding.Sharded(self._own_model, self.accelerator.autocast)

    # --- loss and optimiser -------------------------------------------------------------------------------

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """The model's own loss. Without a cache: it would let packed samples see each other."""
        outputs = model(**inputs, num_items_in_batch=num_items_in_batch, use_cache=False)
        # Gradients are averaged over processes, but the items were summed over them.
        loss = outputs.loss * self.accelerator.num_processes
        problem = None
        if not torch.isfinite(loss):
            problem = self._not_finite(f"the loss is {loss.item()}", self._names[self._turn])
        self._turn += 1
        self._learn_of(problem)
        return (loss, outputs) if return_outputs else loss

    def _clip_checked(self, *args: Any, **kwargs: Any) -> Any:
        """Clip, before a gradient that is no number can reach the weights and the next checkpoint."""
        norm = self._clip(*args, **kwargs)
        if isinstance(norm, DTensor):
            norm = norm.full_tensor()
        if norm is not None and not math.isfinite(norm):  # it is the same on all processes
            names = chain.from_iterable(chain(*self.world.gather(self._names)))
            self.world.agree(self._not_finite(f"the gradient's norm is {float(norm)}", list(names)))
        return norm

    def _not_finite(self, what: str, names: Sequence[str]) -> OryxError:
        return OryxError(
            f"{what} at step {self.state.global_step + 1} ({_listed(names)}); look at these samples, or "
            "begin a new run with a lower optim.learning_rate from a checkpoint here: each is whole."
        )

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        if self.optimizer is None:
            optim = self.recipe.optim
            groups = parameter_groups(
                self._own_model if model is None else model,
                optim.learning_rate,
                optim.weight_decay,
                optim.lr_multipliers,
                optim.muon_multiplier if optim.optimizer == "muon" else None,
            )
            kind = MuonAdamW if optim.optimizer == "muon" else torch.optim.AdamW
            self.optimizer = kind(groups, betas=optim.betas, eps=optim.eps, fused=True)
        return self.optimizer

    def create_scheduler(
        self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None
    ) -> torch.optim.lr_scheduler.LRScheduler:
        if self.lr_scheduler is None:
            used = optimizer or self.optimizer
            assert used is not None
            schedule = self.schedule
            # A plain function: an object of ours would go into the checkpoint, which is read as weights only.
            self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(used, lambda step: schedule(step))
            self._created_lr_scheduler = True
        return self.lr_scheduler

    def _get_learning_rate(self) -> float:
        """Of parts without a multiplier."""
        # The Trainer asks between a step and the schedule's own step.
        return self.recipe.optim.learning_rate * self.schedule(self.state.global_step)

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Not counted: the Trainer's estimate walks all modules in every step and knows no vision tower."""
        return 0

    # --- log ------------------------------------------------------------------------------------------------

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:
            rates = self.meter.read()
            left = rates.pop("seconds_per_step") * (self.state.max_steps - self.state.global_step)
            logs |= {**rates, "seconds_left": round(left, 1)}
        super().log(logs, start_time)


def count_steps(recipe: Recipe, batches: Batches, world_size: int = 1) -> int:
    """Steps of the whole run, in each of which every process reads batches of its own."""
    if recipe.optim.steps is not None:
        return recipe.optim.steps
    assert recipe.optim.epochs is not None
    batches_per_step = recipe.batch.gradient_accumulation * world_size
    return max(1, -(-batches.num_batches(recipe.optim.epochs) // batches_per_step))


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:LISTED])
    return shown if len(names) <= LISTED else f"{shown} and {len(names) - LISTED} more"


def _arguments(
    recipe: Recipe, output: Path, parallel: ParallelSection, has_experts: bool
) -> TrainingArguments:
    """All but `max_steps`, which depend on the number of processes that is known to these."""
    arguments = TrainingArguments(
        output_dir=str(output),
        per_device_train_batch_size=1,
        gradient_accumulation_steps=recipe.batch.gradient_accumulation,
        learning_rate=recipe.optim.learning_rate,
        max_grad_norm=recipe.optim.max_grad_norm,
        bf16=recipe.precision == "bfloat16",
        use_cpu=not torch.accelerator.is_available(),
        logging_steps=recipe.log_every,
        logging_nan_inf_filter=False,
        save_strategy="steps",
        save_steps=recipe.save_every,
        seed=recipe.seed,
        remove_unused_columns=False,
        label_names=["labels"],
        # Batches are a function of their number, so nothing has to be skipped one by one.
        ignore_data_skip=True,
        dataloader_num_workers=recipe.num_workers,
        accelerator_config={"dispatch_batches": False, "split_batches": False},
        disable_tqdm=True,
        report_to="none",
        deepspeed=parallel.deepspeed_config,
        # Every weight has a gradient on every process, except of experts that no token was sent to.
        ddp_find_unused_parameters=has_experts,
    )
    # A process that was launched alone has one GPU: transformers would cut packed rows into one for each.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    # The recipe decides, whatever a launcher was told.
    arguments.mixed_precision = "bf16" if recipe.precision == "bfloat16" else "no"
    return arguments


def _has_experts(model: OryxForConditionalGeneration) -> bool:
    text = model.config.text_config
    return any((getattr(text, name, None) or 0) > 1 for name in ("num_experts", "num_local_experts"))
