"""`oryx eval rooms`: is it known what is where in a room, and do marks help?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from oryx.cli import options as opt


def eval_rooms_command(
    folder: Annotated[
        Path, typer.Option(help="Rooms (oryx data rooms) of furniture that the model was not trained on.")
    ],
    model: opt.Model = "nano",
    rooms: Annotated[int, typer.Option(min=1, help="The first so many rooms of the folder.")] = 500,
    views: Annotated[str, typer.Option(help="Views shown together: MIN-MAX or one number.")] = "4-8",
    size: Annotated[str, typer.Option(help="HEIGHTxWIDTH of a view in pixels.")] = "64x96",
    questions_per_room: Annotated[
        int, typer.Option(min=1, help="At most; those about numbers come on top.")
    ] = 15,
    compression: opt.Ratio = 4,
    mark_size: Annotated[int, typer.Option(help="Diameter of a number's dot in pixels.")] = 11,
    seed: Annotated[int, typer.Option(help="Same seed, same questions.")] = 0,
    batch_size: Annotated[int, typer.Option(min=1, help="Questions answered at once.")] = 32,
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for rooms.json, rooms.md and rooms.png.")
    ] = None,
    device: opt.Device = "auto",
    dtype: opt.Dtype = "auto",
    vision_tower: opt.VisionTower = None,
    quantize: opt.Quantize = None,
    as_json: opt.Json = False,
) -> None:
    """Ask about rooms three ways: with numbered dots on the things, without, and showing a single view."""
    from oryx.cli.display import progress_bar
    from oryx.evaluation.output import check_output, command_line, hash_weights
    from oryx.evaluation.room_report import FILES, make_report, numbers_table, save_report, ways_table
    from oryx.evaluation.room_test import RoomTest, open_rooms
    from oryx.evaluation.rooms import evaluate_rooms
    from oryx.loading import load, resolve_folder
    from oryx.processing.weights import check_quantize

    check_quantize(quantize)
    height, width = opt.parse_pair(size, "size", "x", "HEIGHTxWIDTH such as 64x96")
    test = RoomTest(
        rooms=rooms,
        views=opt.parse_range(views, "views"),
        height=height,
        width=width,
        questions_per_room=questions_per_room,
        seed=seed,
        compression=compression,
        mark_size=mark_size,
    )
    # Everything that can be refused is refused before hours of work.
    open_rooms(str(folder), test)
    weights = resolve_folder(model)
    given = {
        "--folder": folder,
        **opt.weights(model, vision_tower, quantize, dtype),
        "--rooms": rooms,
        "--views": views,
        "--size": size,
        "--questions-per-room": questions_per_room,
        "--compression": compression,
        "--mark-size": mark_size,
        "--seed": seed,
    }
    command, sha256 = command_line("rooms", given), hash_weights(weights, vision_tower)
    if output is not None:
        check_output(output, FILES, command, sha256)
    loaded, processor = load(
        weights, dtype=dtype, device=device, vision_tower=vision_tower, quantize=quantize
    )
    with progress_bar("questions") as bar:
        result = evaluate_rooms(loaded, processor, str(folder), test, batch_size, bar.update)
    report = make_report(model, sha256, loaded, str(folder), command, test, result)
    # Printed first: a disk that is full by now must not take hours of work with it.
    if as_json:
        typer.echo(json.dumps(report.to_dict()))
    else:
        typer.echo(f"{ways_table(result)}\n{numbers_table(result)}", nl=False)
    for path in save_report(report, output) if output is not None else []:
        typer.echo(f"Wrote {path}.", err=True)
