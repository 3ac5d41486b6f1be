"""`oryx data haystack`: needles in haystacks on disk, for programs other than `oryx eval needle`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from oryx.cli.options import Json, parse_size

Source = Annotated[
    str,
    typer.Option(metavar="drawn|PATH", help="drawn by seed, a video, a folder of frames, or one of videos."),
]
NeedleFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="JSONL of image, question, answer; drawn needles without it."),
]
Lengths = Annotated[str, typer.Option(metavar="N,N,...", help="Frames, the needle's among them.")]
Depths = Annotated[
    str,
    typer.Option(metavar="N|D,D,...", help="So many depths from 0 to 100 percent, or these, as in 50%."),
]
Trials = Annotated[int, typer.Option(min=1, help="Needles at each depth of each length.")]
FrameSize = Annotated[str, typer.Option(metavar="HxW", help="Of drawn frames, in pixels.")]


def haystack_command(
    output: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to make.")],
    haystack: Source = "drawn",
    needles: NeedleFile = None,
    frames: Lengths = "100",
    depths: Depths = "10",
    trials: Trials = 1,
    frame_size: FrameSize = "32x32",
    layout: Annotated[
        str, typer.Option(metavar="patch|folder", help="Published patch files, or a folder for each video.")
    ] = "patch",
    seed: Annotated[int, typer.Option(help="Same seed, same haystack and needles.")] = 0,
    as_json: Json = False,
) -> None:
    """Put a needle into a long video, at each depth of each length, with its question and answer."""
    from oryx.cli.display import progress_bar
    from oryx.data.builders.haystack.needles import (
        drawn_needles,
        parse_depths,
        parse_lengths,
        read_needles,
    )
    from oryx.data.builders.haystack.sources import open_haystack
    from oryx.data.builders.haystack.write import RECORDS, write_haystacks

    lengths, places = parse_lengths(frames), parse_depths(depths)
    stack = open_haystack(haystack, seed, *parse_size(frame_size, "frame-size"))
    size = stack.height, stack.width
    chosen = drawn_needles(seed, *size) if needles is None else read_needles(needles, seed, *size)
    with progress_bar("haystacks") as bar:
        records = write_haystacks(output, stack, chosen, lengths, places, trials, layout, bar.update)
    made = {"records": len(records), "frames": sum(record["num_frames"] for record in records)}
    if as_json:
        typer.echo(json.dumps({"output": str(output), **made}))
    else:
        typer.echo(f"{made['records']} videos, {made['frames']:,} frames: {output / RECORDS}")
