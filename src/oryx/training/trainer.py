"""`train(recipe)`: a `transformers.Trainer` over packed batches, exact in resuming, on one rank or many."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
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
from transformers.utils import logging as transformers_logging

from oryx.errors import ConfigError, OryxError
from oryx.model.loss import IGNORE_INDEX
from oryx.model.modeling import OryxForConditionalGeneration
from oryx.model.packed import settle_attention
from oryx.processing.processor import OryxProcessor
from oryx.training import sharding
from oryx.training.building import build_for
from oryx.training.callbacks import LeaveUnused, StopAndSave
from oryx.training.data import STATS, Batches, BatchLoader, BatchStats, ResumingSampler, make_batches
from oryx.training.distributed import World, is_lost_process, join_world
from oryx.training.folder import Resume, RunFolder
from oryx.training.lora import read_marks
from oryx.training.muon import MuonAdamW
from oryx.training.progress import Meter, Reporter, say
from oryx.training.recipe import Recipe, check_sharing, load_recipe
from oryx.training.saving import WholeCheckpoints
from oryx.training.sections.parallel import ParallelSection
from oryx.training.stages import parameter_groups, set_trainable
from oryx.training.stopping import Stopper
from oryx.training.strategy import leave_deepspeed, settle


def train(
    recipe: str | Path | Recipe,
    output: str | Path | None = None,
    overrides: Sequence[str] = (),
    resume: Resume = "auto",
    console: Console | None = None,
) -> Path:
    """Run a recipe, or go on with it where it stopped.

    Under `torchrun` or `accelerate launch` every process calls this; rank 0 writes the folder and speaks.

    Args:
        recipe: path of a YAML recipe, or a recipe.
        output: folder of the run, instead of the recipe's `output`.
        overrides: "dotted.key=value", applied to the recipe.
        resume: "auto" goes on from the last checkpoint in `output`; "never" refuses a folder that holds one.

    Returns:
        The output folder, which `oryx.load` reads.

    Raises:
        ConfigError: the recipe or its data is wrong, or `output` holds something that would be lost.
        OryxError: the loss is not a number any more, the disk is full, or another process of the run ended.
            The last checkpoint stays.
        KeyboardInterrupt, SystemExit: Ctrl-C or SIGTERM came; a checkpoint was written first.
    """
    _check_installed()
    world = join_world()
    console = (console or Console()) if world.is_main else Console(quiet=True)
    # Softmax leaves gradients that underflow to denormals, on which CPUs are many times slower. Threads take
    # the setting from the thread that starts them, so it comes before any product.
    torch.set_flush_denormal(True)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    with world.together():
        recipe = _settled(recipe, overrides, resume)
        where = output or recipe.output
        if where is None:
            raise ConfigError("output is missing; set it in the recipe, or give --output.")
        where = Path(where).expanduser()
        parallel = settle(recipe.parallel, world.size)
        check_sharing(recipe, parallel.strategy)
    with _threads(recipe.num_threads), _exact_sums():
        _run(recipe, where, resume, parallel, world, console)
    if parallel.strategy == "deepspeed":
        leave_deepspeed()
    # The Trainer and its accelerator hold each other, and a chain's next part needs their memory.
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return where


def _run(
    recipe: Recipe,
    output: str | Path,
    resume: Resume,
    parallel: ParallelSection,
    world: World,
    console: Console,
) -> None:
    model, processor = build_for(world, recipe, is_sharded=parallel.strategy == "fsdp2")
    with world.together():
        # Before anything is rounded or shared out.
        marks = read_marks(model) if recipe.lora is not None and world.is_main else None
    # By rank 0, which alone may have the weights.
    settled = partial(settle_attention, model.language_model, recipe.model.attn_implementation is None)
    attention = world.on_main(settled)
    if model.language_model.config._attn_implementation != attention:
        model.language_model.set_attn_implementation(attention)
    with world.together():
        bfloat16 = recipe.precision == "bfloat16"
        torch.manual_seed(recipe.seed)  # adapters are new weights too, whatever was drawn before
        console.print(set_trainable(model, recipe.train, recipe.lora, bfloat16))
        batches = make_batches(recipe, processor, partial(say, console))
    _check_alike(world, batches)
    # The folder is made last: a recipe that cannot run leaves nothing behind.
    with closing(RunFolder(output, world)) as folder:
        checkpoint = folder.open(recipe, resume, batches.identity)
        if checkpoint is not None:
            say(console, f"going on from {checkpoint}")
        trainer = OryxTrainer(model, processor, recipe, batches, folder, console, parallel, marks)
        say(console, _step_text(recipe, world.size))
        idle = torch.cuda.device_count() - 1 if world.size == 1 else 0
        if idle > 0:
            say(console, f"one GPU of {idle + 1} is used; torchrun --nproc-per-node {idle + 1} uses all")
        trainer.run(checkpoint)
    if not trainer.is_finished:
        done = f"stopped after {trainer.state.global_step} of {trainer.num_steps} steps"
        say(console, f"{done}; the same command goes on")
    trainer.stopper.raise_signal()


@contextmanager
def _threads(number: int | None) -> Iterator[None]:
    """So many threads inside, if a number is given, and as many as before behind."""
    before = torch.get_num_threads()
    if number is not None:
        torch.set_num_threads(number)
    try:
        yield
    finally:
        if number is not None:
            torch.set_num_threads(before)


@contextmanager
def _exact_sums() -> Iterator[None]:
    """Inside, a CPU's threads add up gradients in the same order in every run.

    Torch lets them race for rows that are used more than once, as the newline of every row of patches is, and
    the last bits of such sums are then chance. CUDA has its own kernels, so nothing changes there.
    """
    if torch.accelerator.is_available():
        yield
        return
    before = torch.are_deterministic_algorithms_enabled()
    warned = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warned)


def _check_alike(world: World, batches: Batches) -> None:
    """Every process must know the same records, or they would read other ones than the plan says."""
    problem = None
    if world.gather(batches.identity)[0] != batches.identity:
        problem = ConfigError(
            f"process {world.rank} has other records, or other fonts, pictures or rooms to draw with, than "
            "process 0; give all machines the same files."
        )
    world.agree(problem)


def _settled(recipe: str | Path | Recipe, overrides: Sequence[str], resume: str) -> Recipe:
    if resume not in ("auto", "never"):
        raise ConfigError(f"resume is {resume!r}; allowed: auto, never.")
    if not isinstance(recipe, Recipe):
        return load_recipe(recipe, overrides)
    if overrides:
        raise ConfigError("overrides change a recipe's file; a Recipe is taken as it is.")
    return recipe


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


def _step_text(recipe: Recipe, processes: int) -> str:
    """What a step reads: the learning rate was chosen for so much, and it grows with the processes."""
    batch = recipe.batch
    factors = [
        f"{number} {what}"
        for number, what in ((processes, "processes"), (batch.gradient_accumulation, "batches"))
        if number > 1
    ]
    rows = processes * batch.gradient_accumulation * batch.rows
    product = f" ({' x '.join([*factors, str(batch.rows)])})" if factors else ""
    return f"a step reads {rows}{product} rows of {batch.row_length:,} positions"


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


def _check_installed() -> None:
    try:
        import accelerate  # noqa: F401
    except ImportError:
        raise ConfigError("training needs accelerate; install oryx-mllm[train].") from None
