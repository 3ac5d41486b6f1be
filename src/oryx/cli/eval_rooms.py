"""`oryx eval rooms`: is it known what is where in a room, and do marks help?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from oryx.cli import options as opt
from oryx.cli.eval_subject import (
    Address,
    ApiKeyEnv,
    Requests,
    Url,
    UrlModel,
    find_subject,
    tell_kept,
    tell_written,
    telling_of_stops,
)
from oryx.cli.noise import complain


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
    compression: Annotated[
        int | None,
        typer.Option(metavar="RATIO", help="Patches to a token: 1, 2, 4, 8 or 16.", show_default="4"),
    ] = None,
    mark_size: Annotated[int, typer.Option(help="Diameter of a number's dot in pixels.")] = 9,
    seed: Annotated[int, typer.Option(help="Same seed, same questions.")] = 0,
    batch_size: Annotated[int, typer.Option(min=1, help="Questions answered at once.")] = 32,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder for rooms.json, .md, .png and answers; the same command goes on where it was cut.",
        ),
    ] = None,
    url: Url = None,
    url_model: UrlModel = None,
    api_key_env: ApiKeyEnv = None,
    requests: Requests = 4,
    device: opt.Device = "auto",
    dtype: opt.Dtype = "auto",
    vision_tower: opt.VisionTower = None,
    quantize: opt.Quantize = None,
    as_json: opt.Json = False,
) -> None:
    """Ask about rooms three ways: with numbered dots on the things, without, and showing a single view."""
    from oryx.cli.display import progress_bar
    from oryx.evaluation.journal import Journal
    from oryx.evaluation.output import check_output, command_line
    from oryx.evaluation.rooms.evaluate import measure_rooms
    from oryx.evaluation.rooms.questions import RATIO, RoomTest, open_rooms
    from oryx.evaluation.rooms.report import FILES, make_report, numbers_table, save_report, ways_table
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
        compression=RATIO if compression is None else compression,
        mark_size=mark_size,
    )
    # Everything that can be refused is refused before hours of work.
    skill = open_rooms(str(folder), test)
    address = Address(url, url_model, api_key_env, requests)
    subject = find_subject(
        model, vision_tower, quantize, dtype, device, address, {"--compression": compression}
    )
    given = {
        "--folder": folder,
        **subject.options,
        "--rooms": rooms,
        "--views": views,
        "--size": size,
        "--questions-per-room": questions_per_room,
        "--compression": test.compression if subject.has_dials else None,
        "--mark-size": mark_size,
        "--seed": seed,
    }
    command = command_line("rooms", given)
    rooms_sha256 = skill.store.hash_rooms(rooms)
    conditions = {"device": subject.device, "rooms_sha256": rooms_sha256}
    if output is not None:
        check_output(output, FILES, command, subject.identity, conditions=conditions)
    journal = Journal(output, "rooms", command, conditions, complain)
    opened = subject.open()
    kept = journal.of(opened.facts)
    tell_kept(len(kept), "answers")
    tokenizer = None if opened.processor is None else opened.processor.tokenizer
    at_once = subject.requests or batch_size
    with telling_of_stops(journal), progress_bar("questions") as bar:
        result = measure_rooms(opened.answerer, str(folder), test, at_once, bar.update, kept, tokenizer)
    report = make_report(opened.facts, str(folder), command, test, result, rooms_sha256, subject.has_dials)
    # Printed first: a disk that is full by now must not take hours of work with it.
    if as_json:
        typer.echo(json.dumps(report.to_dict()))
    else:
        typer.echo(f"{ways_table(result)}\n{numbers_table(result)}", nl=False)
    if output is not None:
        tell_written(save_report(report, output))
    journal.remove()
