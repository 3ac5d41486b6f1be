"""`oryx data pictures`: make a store of named pictures from downloaded packages."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from oryx.cli import options as opt


def pictures_command(
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for pictures.zip and CREDITS.md.")],
    from_: Annotated[
        list[Path],
        typer.Option("--from", help="Folder of unpacked packages, searched at any depth; may be repeated."),
    ],
    partial: Annotated[
        bool,
        typer.Option(
            "--partial", help="Make do without the packages that are not there; no store for `eval skills`."
        ),
    ] = False,
    as_json: opt.Json = False,
) -> None:
    """Make a store of named pictures of common things, for the skill "things" and its tests."""
    from oryx.cli.display import progress_bar
    from oryx.data.pictures.build import build_store
    from oryx.data.pictures.store import SPLITS

    with progress_bar("reading") as bar:
        pictures = build_store(
            output, from_, partial, lambda name, done, total: bar.update(done, total, name)
        )
    counts = Counter(picture.split for picture in pictures)
    report = {
        "store": str(output),
        "names": len({picture.name for picture in pictures}),
        "pictures": {split: counts[split] for split in SPLITS},
        "styles": dict(Counter(picture.style for picture in pictures)),
    }
    if as_json:
        print(json.dumps(report))
        return
    numbers = ", ".join(f"{counts[split]} {split}" for split in SPLITS)
    print(f"Wrote {output}: {report['names']} things, {numbers}.")
