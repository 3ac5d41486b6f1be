"""`oryx eval needle`: is a picture found in a long video, wherever it is?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from oryx.cli.data_haystack import Depths, FrameSize, Lengths, NeedleFile, Source, Trials
from oryx.cli.options import Device, Dtype, Json, MaxNewTokens, MaxPixels, Model, Ratio, parse_size


def eval_needle_command(
    model: Model = "nano",
    compare: Annotated[
        str | None, typer.Option(metavar="NAME", help="A second model, shown beside the first.")
    ] = None,
    haystack: Source = "drawn",
    needles: NeedleFile = None,
    frames: Lengths = "100,400,1600",
    depths: Depths = "10",
    trials: Trials = 10,
    compression: Ratio = 16,
    max_pixels: MaxPixels = None,
    frame_size: FrameSize = "32x32",
    prompt: Annotated[
        str, typer.Option(metavar="TEXT", help="What is asked; holds {question}, and may hold {frames}.")
    ] = "{question}",
    score: Annotated[
        str, typer.Option(metavar="exact|contains", help="What counts as right; both are in the JSON.")
    ] = "exact",
    max_new_tokens: MaxNewTokens = 24,
    seed: Annotated[int, typer.Option(help="Same seed, same haystack and needles.")] = 0,
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for needle.json, needle.md and needle.png.")
    ] = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    as_json: Json = False,
) -> None:
    """Put a needle at every depth of long videos and ask about it. Frames are encoded once a length."""
    from oryx.cli.display import progress_bar
    from oryx.data.builders.haystack.needles import (
        drawn_needles,
        parse_depths,
        parse_lengths,
        read_needles,
    )
    from oryx.data.builders.haystack.sources import open_haystack

    lengths, places = parse_lengths(frames), parse_depths(depths)
    stack = open_haystack(haystack, seed, *parse_size(frame_size, "frame-size"))
    stack.check(lengths[-1] - 1)
    size = stack.height, stack.width
    chosen = drawn_needles(seed, *size) if needles is None else read_needles(needles, seed, *size)

    from oryx.evaluation.needle import NeedleTest, evaluate_needle
    from oryx.evaluation.needle_report import (
        FILES,
        NeedlePage,
        cost_table,
        describe_model,
        save_page,
        share_table,
    )
    from oryx.evaluation.report import check_output, command_line, hash_weights
    from oryx.loading import load, resolve_folder

    test = NeedleTest(
        frames=lengths,
        depths=places,
        trials=trials,
        compression=compression,
        max_pixels=max_pixels,
        prompt=prompt,
        score=score,
        max_new_tokens=max_new_tokens,
    )
    names = [model] if compare is None else [model, compare]
    folders = [resolve_folder(name) for name in names]
    if output is not None:
        check_output(output, FILES, *(hash_weights(folder) for folder in folders))
    given = {
        "--model": model,
        "--compare": compare,
        "--haystack": haystack,
        "--needles": needles,
        "--frames": frames,
        "--depths": depths,
        "--trials": trials,
        "--compression": compression,
        "--max-pixels": max_pixels,
        "--frame-size": frame_size if haystack == "drawn" else None,
        "--prompt": prompt,
        "--score": score,
        "--max-new-tokens": max_new_tokens,
        "--seed": seed,
    }
    measured = []
    with progress_bar("needles") as bar:
        for name, folder in zip(names, folders, strict=True):
            loaded, processor = load(name, dtype=dtype, device=device)

            def tell(what: str, done: int, total: int, name: str = name) -> None:
                bar.update(done, total, f"{name}: {what}")

            result = evaluate_needle(loaded, processor, stack, chosen, test, tell)
            measured.append(describe_model(name, folder, loaded, result))
    shown = "drawn" if needles is None else str(needles)
    page = NeedlePage(test, stack.name, shown, seed, command_line("needle", given), tuple(measured))
    # Printed first: a disk that is full by now must not take the work with it.
    if as_json:
        typer.echo(json.dumps(page.to_dict()))
    else:
        for one in measured:
            typer.echo(f"{one.model}\n\n{share_table(one.result, test)}\n{cost_table(one.result)}")
    for path in save_page(page, output) if output is not None else []:
        typer.echo(f"Wrote {path}.", err=True)
