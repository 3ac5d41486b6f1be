"""`oryx data rooms`: furnished rooms from named furniture models, drawn from several views with exact ids."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from oryx.cli.options import Json, parse_pair, parse_range


def rooms_command(
    out: Annotated[Path, typer.Argument(help="Folder to write to; a run that was cut goes on there.")],
    furniture: Annotated[
        list[Path],
        typer.Option(help="Furniture catalogues (.sh3f or .zip), or a folder of them; may be repeated."),
    ],
    catalogues: Annotated[
        str | None, typer.Option(help="Only these, by the names of their files: Scopia,BlendSwap-CC-0.")
    ] = None,
    rooms: Annotated[int, typer.Option(min=1, help="How many rooms.")] = 3000,
    views: Annotated[str, typer.Option(help="Views a room: MIN-MAX or one number.")] = "4-8",
    objects: Annotated[str, typer.Option(help="Pieces of furniture a room: MIN-MAX or one number.")] = "3-7",
    size: Annotated[str, typer.Option(help="HEIGHTxWIDTH of a view in pixels, multiples of 8.")] = "96x128",
    tinted: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the furniture in other colors than its own.")
    ] = 0.5,
    depth: Annotated[bool, typer.Option("--depth", help="Also keep the depth of each view.")] = False,
    scannet: Annotated[
        Path | None,
        typer.Option(
            help="Also write each room as a folder in ScanNet's layout there, as `correspondence` reads."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same rooms.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes that draw.")] = 1,
    as_json: Json = False,
) -> None:
    """Furnish rooms with named furniture models and draw them from several views, with exact instance ids."""
    from oryx.cli.display import progress_bar
    from oryx.data.rooms.build import build_rooms, check_settings, store_settings
    from oryx.data.rooms.catalogue import read_furniture
    from oryx.data.rooms.scannet import export_scannet
    from oryx.data.rooms.scene import RoomSettings
    from oryx.data.rooms.store import RoomStore, check_same
    from oryx.files import check_folder

    height, width = parse_pair(size, "size", "x", "HEIGHTxWIDTH such as 96x128")
    settings = RoomSettings(
        rooms, parse_range(views, "views"), parse_range(objects, "objects"), height, width, seed, tinted
    )
    check_settings(settings)
    for folder in (out, scannet):
        if folder is not None:
            check_folder(folder)
    names = [name.strip() for name in catalogues.split(",")] if catalogues else None
    pieces = read_furniture(furniture, names)
    depth = depth or scannet is not None
    if scannet is not None:
        check_same(scannet, store_settings(pieces, settings, depth))
    with progress_bar("drawing rooms") as bar:
        drawn = build_rooms(out, pieces, settings, depth, workers, bar.update)
    if scannet is not None:
        with progress_bar("writing folders") as bar:
            export_scannet(RoomStore(out), scannet, bar.update)
    labels = sorted({piece.label for piece in pieces})
    report = {"folder": str(out), "rooms": rooms, "drawn": drawn, "models": len(pieces), "labels": labels}
    if as_json:
        typer.echo(json.dumps(report))
    else:
        typer.echo(
            f"{rooms} rooms in {out} ({drawn} drawn now) with {len(pieces)} models of {len(labels)} names; "
            f"credits in {out / 'CREDITS.md'}."
        )
