"""`oryx train`: run a recipe or a chain of them, or go on with it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def train_command(
    recipe: Annotated[
        Path, typer.Argument(help="YAML recipe, or a chain of recipes; recipes/ holds the project's own.")
    ],
    output: Annotated[Path | None, typer.Option(help="Folder of the run, instead of the recipe's.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a value, of a chain in every part: seed=1."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the recipe and say what it would do; train nothing.")
    ] = False,
) -> None:
    """Train a model by a recipe. The same command goes on with a run that was stopped.

    On several GPUs: torchrun --nproc-per-node 8 -m oryx train RECIPE
    """
    overrides = set_ or []
    if dry_run:
        from oryx.training.dry_run import dry_run_file

        dry_run_file(recipe, output, overrides)
        return
    from oryx.training.chain import is_chain, train_chain
    from oryx.training.distributed import is_main_process, leave_world
    from oryx.training.running import train

    run = train_chain if is_chain(recipe) else train
    folder = run(recipe, output=output, overrides=overrides)
    if is_main_process():
        typer.echo(f"The model is in {folder}.")
    leave_world()
