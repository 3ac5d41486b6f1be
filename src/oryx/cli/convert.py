"""`oryx convert`: a checkpoint in the other layout."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from oryx.cli import options as opt


def convert_command(
    source: Annotated[
        Path, typer.Argument(metavar="SRC", help="Folder in the published or the native layout.")
    ],
    destination: Annotated[
        Path, typer.Argument(metavar="DST", help="New folder, written in the other layout.")
    ],
    vision_tower: opt.VisionTower = None,
) -> None:
    """Write a published checkpoint as native safetensors, or a native one as published."""
    from oryx.checkpoints.convert import convert
    from oryx.cli.display import progress_bar, scaled

    with progress_bar("converting") as bar:
        folder = convert(
            source, destination, vision_tower, report=lambda name, done, total: bar.update(done, total, name)
        )
    for file in sorted(folder.iterdir()):
        print(f"{folder / file.name}  {scaled(file.stat().st_size, 1024, 'B')}")
