"""`oryx train`: run a recipe, or go on with it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def train_command(
    recipe: Annotated[Path, typer.Argument(help="YAML recipe; recipes/ holds the project's own.")],
    output: Annotated[Path | None, typer.Option(help="Folder of the run, instead of the recipe's.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a value: optim.steps=100.")
    ] = None,
) -> None:
    """Train a model by a recipe. The same command goes on with a run that was stopped.

    On several GPUs: torchrun --nproc-per-node 8 -m oryx train RECIPE
    """
    from oryx.training.distributed import is_main_process, leave_world
    from oryx.training.trainer import train

    folder = train(recipe, output=output, overrides=set_ or [])
    if is_main_process():
        typer.echo(f"The model is in {folder}.")
    leave_world()
