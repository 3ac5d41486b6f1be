"""`oryx train --dry-run`: what a recipe would do, without its weights, without its data, without training."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from oryx.errors import CheckpointError, ConfigError
from oryx.model.modeling import OryxForConditionalGeneration
from oryx.training.chain import is_chain, load_chain
from oryx.training.looking import SourceState, look_at_data
from oryx.training.memory import PATCHES, SHARDED, SUPERVISED, training_bytes
from oryx.training.planning import ModelPlan, ModelPlanner
from oryx.training.progress import say
from oryx.training.recipe import Recipe, load_recipe
from oryx.training.sections.lora import LoraSection
from oryx.training.stages import set_trainable

PROCESSES = 8
"""The second column of the memory table is for so many: one machine of the published scripts."""


@dataclass(frozen=True)
class DryRun:
    """What a recipe would do."""

    recipe: Recipe
    output: str
    sources: tuple[SourceState, ...]
    plan: ModelPlan | None = None
    """None where the model's sizes are not to be had."""
    problem: str = ""
    """Why they are not."""
    parts: Table | None = None
    """What learns and what does not."""
    memory: dict[str, int | None] = field(default_factory=dict)
    """See `training_bytes`."""
    notes: tuple[str, ...] = ()

    @property
    def missing(self) -> tuple[SourceState, ...]:
        """Sources that cannot be read, or not whole."""
        return tuple(source for source in self.sources if source.problems)


def dry_run(recipe: Recipe, output: str | Path, planner: ModelPlanner) -> DryRun:
    """Check a recipe as far as it can be without weights and data.

    Raises:
        ConfigError: settings that do not exist or do not go together.
    """
    sources = look_at_data(recipe.data)
    try:
        plan = planner.plan(recipe)
    except CheckpointError as error:
        return DryRun(recipe, str(output), sources, problem=str(error))
    with torch.device("meta"):
        model = OryxForConditionalGeneration(plan.config)
    parts = set_trainable(model, recipe.train, _unquantized(recipe.lora), recipe.precision == "bfloat16")
    memory = training_bytes(model, plan.config, recipe)
    return DryRun(recipe, str(output), sources, plan, "", parts, memory, _notes(recipe, plan))


def dry_run_file(
    path: Path, output: Path | None = None, overrides: Sequence[str] = (), console: Console | None = None
) -> list[DryRun]:
    """Check the recipe in a file, or every part of a chain, and print what was found.

    Raises:
        ConfigError: a recipe is wrong.
    """
    console = console or Console()
    if not is_chain(path):
        recipe = load_recipe(path, overrides)
        where = output or recipe.output
        if where is None:
            raise ConfigError("output is missing; set it in the recipe, or give --output.")
        found = [dry_run(recipe, where, ModelPlanner(path))]
        print_dry_run(found[0], console)
        return found
    chain = load_chain(path, output, overrides)
    found = []
    planned: dict[str, ModelPlan] = {}
    for number, part in enumerate(chain.parts, start=1):
        result = dry_run(part.recipe, part.folder, ModelPlanner(Path(path), planned))
        if result.plan is not None:
            planned[os.path.normpath(part.folder)] = result.plan
        console.rule(escape(f"part {number} of {len(chain.parts)}: {part.name}"))
        print_dry_run(result, console)
        found.append(result)
    return found


def print_dry_run(result: DryRun, console: Console) -> None:
    """For people."""
    recipe = result.recipe
    if result.parts is not None:
        console.print(result.parts)
    else:
        say(console, f"What is trained ({', '.join(recipe.train)}) cannot be counted: {result.problem}")
    console.print(_data_table(result.sources))
    for source in result.missing:
        say(console, f"missing: {source.title} ({'; '.join(source.problems)})")
    say(console, f"steps: {_steps(result)}")
    batch = recipe.batch
    positions = batch.rows * batch.row_length * batch.gradient_accumulation
    say(
        console,
        f"positions a step: {batch.rows} rows of {batch.row_length:,} x {batch.gradient_accumulation} = "
        f"{positions:,} on one process, {positions * PROCESSES:,} on {PROCESSES}",
    )
    if result.memory:
        console.print(_memory_table(result.memory, recipe.parallel.cpu_offload))
    for note in result.notes:
        say(console, f"note: {note}")
    say(console, f"output: {result.output}")


def _unquantized(lora: LoraSection | None) -> LoraSection | None:
    """Weights that are not there cannot be rounded."""
    return None if lora is None else replace(lora, quantize="none")


def _notes(recipe: Recipe, plan: ModelPlan) -> tuple[str, ...]:
    notes = list(plan.origins)
    if recipe.lora is not None and recipe.lora.quantize != "none":
        notes.append(
            f"weights are counted without lora.quantize {recipe.lora.quantize}, which makes them smaller"
        )
    context = getattr(plan.config.text_config, "max_position_embeddings", None)
    if context and recipe.batch.row_length > context:
        notes.append(
            f"rows of {recipe.batch.row_length:,} positions are longer than the {context:,} of the language "
            "model's config; no sample should be, unless it is to learn that"
        )
    return tuple(notes)


def _steps(result: DryRun) -> str:
    optim = result.recipe.optim
    if optim.steps is not None:
        return f"{optim.steps:,}"
    counts = [source.num_records for source in result.sources]
    epochs = f"{optim.epochs:g} epoch{'' if optim.epochs == 1 else 's'}"
    if result.missing:
        return f"{epochs}; counted when all data is there"
    return f"{epochs} of {sum(count or 0 for count in counts):,} records; counted when the run begins"


def _data_table(sources: Sequence[SourceState]) -> Table:
    table = Table("data", "format", title="What is trained on")
    table.add_column("share", justify="right")
    table.add_column("records", justify="right")
    table.add_column("licence", overflow="fold")
    for source in sources:
        share = "by records" if source.share is None else f"{source.share:.1%}"
        records = "missing" if source.problems else "endless"
        if source.num_records is not None:
            records = f"{source.num_records:,}"
        title = f"{source.title}: {', '.join(source.skills)}" if source.skills else source.title
        table.add_row(escape(title), source.format, share, records, escape(source.licence))
    return table


_ROWS = {
    "weights": "weights",
    "gradients": "gradients",
    "optimiser": "optimiser",
    "copies": "copies in bfloat16",
    "activations": f"activations, at {PATCHES} patches a position",
    "logits": f"logits, if one position in {SUPERVISED} is supervised",
}


def _memory_table(memory: dict[str, int | None], offloads: bool) -> Table:
    """With `offloads`, what is shared out lies in host memory and counts for nothing on the accelerator."""
    table = Table("memory, estimated", title="What a process holds")
    table.add_column("alone", justify="right")
    table.add_column(f"one of {PROCESSES}, sharded", justify="right")
    alone = shared = 0
    for name, label in _ROWS.items():
        value = memory[name]
        if value is None:
            table.add_row(label, "unknown", "unknown")
            continue
        part = value // PROCESSES if name in SHARDED else 0 if name == "copies" else value
        is_away = offloads and name in SHARDED
        alone, shared = alone + value, shared + (0 if is_away else part)
        table.add_row(label, _gigabytes(value), _gigabytes(part) + (" on the host" if is_away else ""))
    table.add_section()
    table.add_row("together", _gigabytes(alone), _gigabytes(shared))
    return table


def _gigabytes(value: int) -> str:
    if not value:
        return "-"
    return f"{value / 2**30:,.2f} GiB" if value >= 2**24 else f"{value / 2**20:,.2f} MiB"
