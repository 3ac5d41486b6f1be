"""`train(recipe)`: a recipe becomes a folder with a model, in one process or many."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from rich.console import Console
from transformers.utils import logging as transformers_logging

from oryx.errors import ConfigError
from oryx.model.packed import settle_attention
from oryx.training.building import build_for
from oryx.training.data import Batches, make_batches
from oryx.training.distributed import World, join_world
from oryx.training.folder import Resume, RunFolder
from oryx.training.lora import read_marks
from oryx.training.progress import say
from oryx.training.recipe import Recipe, check_sharing, load_recipe
from oryx.training.sections.parallel import ParallelSection
from oryx.training.stages import set_trainable
from oryx.training.strategy import leave_deepspeed, settle
from oryx.training.trainer import OryxTrainer


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
        recipe = replace(recipe, output=str(where))
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


def _check_installed() -> None:
    try:
        import accelerate  # noqa: F401
    except ImportError:
        raise ConfigError("training needs accelerate; install oryx-mllm[train].") from None
