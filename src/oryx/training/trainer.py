"""`train(recipe)`: a `transformers.Trainer` over packed batches, exact in resuming."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import nn
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback
from transformers.utils import logging as transformers_logging

from oryx.errors import ConfigError, OryxError
from oryx.model.modeling import OryxForConditionalGeneration
from oryx.processing.processor import OryxProcessor
from oryx.training.building import build_model
from oryx.training.data import STATS, Batches, BatchLoader, BatchStats, ResumingSampler, make_batches
from oryx.training.folder import STATE, Resume, RunFolder
from oryx.training.muon import MuonAdamW
from oryx.training.progress import Meter, Reporter
from oryx.training.recipe import Recipe, load_recipe
from oryx.training.stages import parameter_groups, set_trainable


def train(
    recipe: str | Path | Recipe,
    output: str | Path | None = None,
    overrides: Sequence[str] = (),
    resume: Resume = "auto",
    console: Console | None = None,
) -> Path:
    """Run a recipe, or go on with it where it stopped.

    Args:
        recipe: path of a YAML recipe, or a recipe.
        output: folder of the run, instead of the recipe's `output`.
        overrides: "dotted.key=value", applied to the recipe.
        resume: "auto" goes on from the last checkpoint in `output`; "never" refuses a folder that holds one.

    Returns:
        The output folder, which `oryx.load` reads.

    Raises:
        ConfigError: the recipe or its data is wrong, or `output` holds something that would be lost.
        OryxError: the loss is not a number any more, or the disk is full. The last checkpoint stays.
    """
    _check_installed()
    if not isinstance(recipe, Recipe):
        recipe = load_recipe(recipe, overrides)
    elif overrides:
        raise ConfigError("overrides change a recipe's file; a Recipe is taken as it is.")
    where = output or recipe.output
    if where is None:
        raise ConfigError("output is missing; set it in the recipe, or give --output.")
    if resume not in ("auto", "never"):
        raise ConfigError(f"resume is {resume!r}; allowed: auto, never.")
    # Softmax leaves gradients that underflow to denormals, on which CPUs are many times slower. Threads take
    # the setting from the thread that starts them, so it comes before any product.
    torch.set_flush_denormal(True)
    if recipe.num_threads is not None:
        torch.set_num_threads(recipe.num_threads)
    console = console or Console()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    model, processor = build_model(recipe)
    console.print(set_trainable(model, recipe.train))
    batches = make_batches(recipe, processor, console.print)
    # The folder is made last: a recipe that cannot run leaves nothing behind.
    folder = RunFolder(where)
    checkpoint = folder.open(recipe, resume)
    if checkpoint is not None:
        console.print(f"going on from {checkpoint}", soft_wrap=True)
    trainer = OryxTrainer(model, processor, recipe, batches, folder, console)
    try:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    finally:
        trainer.reporter.close()
    trainer.export()
    if trainer.state.global_step < trainer.num_steps:
        done = f"stopped after {trainer.state.global_step} of {trainer.num_steps} steps"
        console.print(f"{done}; the same command goes on", soft_wrap=True)
    return folder.path


class OryxTrainer(Trainer):
    """The Trainer with what packed batches, exact resuming and whole checkpoints need; the loop is its."""

    def __init__(
        self,
        model: OryxForConditionalGeneration,
        processor: OryxProcessor,
        recipe: Recipe,
        batches: Batches,
        folder: RunFolder,
        console: Console,
    ) -> None:
        self.recipe = recipe
        self.batches = batches
        self.folder = folder
        self.meter = Meter()
        self.reporter = Reporter(folder.path / "log.jsonl", console)
        args = _arguments(recipe, folder.path)
        self.num_steps = count_steps(recipe, batches, args.world_size)
        args.max_steps = self.num_steps
        self.schedule = recipe.optim.make_schedule(self.num_steps)
        self._names: list[str] = []
        self._staging: Path | None = None
        self._processor = processor
        self._own_model = model
        super().__init__(
            model=model,
            args=args,
            train_dataset=batches,
            processing_class=processor,
            callbacks=[StopAndSave(recipe.optim.max_minutes), self.reporter],
        )
        self.remove_callback(PrinterCallback)
        if recipe.gradient_checkpointing:
            # transformers 5.23 gave the method a new name.
            newer = getattr(model, "activation_checkpointing_enable", None)
            (newer or model.gradient_checkpointing_enable)()

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
        return BatchLoader(self.batches, sampler, self.recipe.num_workers, pin_memory)

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> tuple[list, torch.Tensor | int | None]:
        """The batches of one step, their statistics taken out."""
        began = time.perf_counter()
        batches, num_items = super().get_batch_samples(*args, **kwargs)
        self.meter.add_step(waited=time.perf_counter() - began)
        self._names = []
        for batch in batches:
            stats: BatchStats = batch.pop(STATS)
            self.meter.add(stats)
            self._names += stats.names
        return batches, num_items

    # --- loss and optimiser -------------------------------------------------------------------------------

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """The model's own loss. Without a cache: it would let packed samples see each other."""
        outputs = model(**inputs, num_items_in_batch=num_items_in_batch, use_cache=False)
        # Gradients are averaged over processes, but the items were summed over them.
        loss = outputs.loss * self.accelerator.num_processes
        if not torch.isfinite(loss):
            raise OryxError(
                f"the loss is {loss.item()} at step {self.state.global_step + 1} ({_listed(self._names)}); "
                "look at these samples or lower optim.learning_rate. Checkpoints before it are whole."
            )
        return (loss, outputs) if return_outputs else loss

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

    # --- log and checkpoints ------------------------------------------------------------------------------

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:
            rates = self.meter.read()
            left = rates.pop("seconds_per_step") * (self.state.max_steps - self.state.global_step)
            logs |= {**rates, "seconds_left": round(left, 1)}
        super().log(logs, start_time)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Written elsewhere, then moved: a checkpoint that can be seen is whole."""
        with self.folder.write(f"checkpoint-{self.state.global_step}") as staging:
            self._staging = staging
            try:
                super()._save_checkpoint(model, trial)
            finally:
                self._staging = None
            self.folder.keep_checkpoint(staging / f"checkpoint-{self.state.global_step}")

    def _get_output_dir(self, trial: Any) -> str:
        return str(self._staging) if self._staging else super()._get_output_dir(trial)

    def export(self) -> None:
        """The model, its processor and the log, in the run's folder."""
        with self.folder.write("the model") as staging:
            self._own_model.config.use_cache = True
            self._own_model.save_pretrained(staging)
            self._processor.save_pretrained(staging)
            self.state.save_to_json(str(staging / STATE))
            self.folder.keep_files(staging)


class StopAndSave(TrainerCallback):
    """Stops after a time, logs with every checkpoint, and keeps the epoch right in resumed runs."""

    def __init__(self, max_minutes: float | None) -> None:
        self.max_minutes = max_minutes
        self.began = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        state.epoch = state.global_step / state.max_steps
        if self.max_minutes is not None and time.monotonic() - self.began >= 60 * self.max_minutes:
            control.should_save = control.should_training_stop = True
        if control.should_save:
            # A resumed run begins a new mean of the loss here, so the first one must end here too.
            control.should_log = True


def count_steps(recipe: Recipe, batches: Batches, world_size: int = 1) -> int:
    """Steps of the whole run, in each of which every process reads batches of its own."""
    if recipe.optim.steps is not None:
        return recipe.optim.steps
    assert recipe.optim.epochs is not None
    batches_per_step = recipe.batch.gradient_accumulation * world_size
    return max(1, -(-batches.num_batches(recipe.optim.epochs) // batches_per_step))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 2 else f"{len(names)} samples from {names[0]} to {names[-1]}"


def _arguments(recipe: Recipe, output: Path) -> TrainingArguments:
    """All but `max_steps`, which depend on the number of processes that is known to these."""
    return TrainingArguments(
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
    )


def _check_installed() -> None:
    try:
        import accelerate  # noqa: F401
    except ImportError:
        raise ConfigError("training needs accelerate; install oryx-mllm[train].") from None
