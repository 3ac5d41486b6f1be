"""`oryx data pack`: one copy of a data set in a few large files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from oryx.cli.byte_sizes import parse_bytes
from oryx.cli.options import Json


def pack_command(
    source: Annotated[str, typer.Argument(metavar="SRC", help="File, folder or glob of records.")],
    destination: Annotated[Path, typer.Argument(metavar="DST", help="New folder.")],
    format_: Annotated[
        str, typer.Option("--format", metavar="patches|webdataset", help="What is written.")
    ] = "patches",
    shard_size: Annotated[str, typer.Option(help="Size at which another file is begun.")] = "1GB",
    source_format: Annotated[
        str | None, typer.Option(metavar="FORMAT", help="Of SRC; guessed where left out.")
    ] = None,
    media_root: Annotated[
        str | None, typer.Option(metavar="DIR", help="Folder that the media paths of SRC start from.")
    ] = None,
    prompt: Annotated[
        str | None, typer.Option(help="Question to captions that come without one; it is packed with them.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Of `datasets`: which split; train.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first records.")] = None,
    skip_broken: Annotated[
        bool, typer.Option("--skip-broken", help="Leave out what cannot be read, and say so.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write records and their media as published patch files, or as webdataset shards."""
    from oryx.cli.display import progress_bar
    from oryx.data.sources.opening import open_source
    from oryx.data.sources.settings import make_settings
    from oryx.data.sources.writing import pack_source

    size = parse_bytes(shard_size, "--shard-size")
    more = {name: value for name, value in (("prompt", prompt), ("split", split)) if value is not None}
    opened = open_source(make_settings(source, source_format, media_root, limit, **more))
    with progress_bar("packing") as bar:
        done = 0

        def advance() -> None:
            nonlocal done
            done += 1
            bar.update(done, len(opened))

        report = pack_source(opened, destination, format_, size, skip_broken, advance)
    for problem in report.skipped:
        typer.echo(f"skipped {problem}", err=True)
    if as_json:
        told = {"records": report.num_records, "bytes": report.num_bytes, "files": report.files}
        typer.echo(json.dumps({**told, "skipped": report.skipped}))
        return
    typer.echo(
        f"Wrote {report.num_records:,} records with {report.num_bytes:,} bytes of media to {destination}."
    )
