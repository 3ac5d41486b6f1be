"""`oryx eval skills`: what nano is trained for, on samples that nobody was trained on."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Annotated

import typer

from oryx.cli.options import Device, Dtype, Json


def eval_skills_command(
    model: Annotated[str, typer.Option(help="nano, a folder or a hub id.")] = "nano",
    samples: Annotated[int, typer.Option(min=1, help="Fresh samples per test.")] = 500,
    test: Annotated[list[str] | None, typer.Option(help="Only this test; may be repeated.")] = None,
    compression: Annotated[
        list[int] | None, typer.Option(help="Ratio for every visual: 1, 2, 4, 8 or 16; repeat to compare.")
    ] = None,
    max_pixels: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Cap on the pixels of a picture or frame; repeat to compare."),
    ] = None,
    sweep: Annotated[
        bool, typer.Option("--sweep", help="Then words and color once more, at several ratios and pixels.")
    ] = False,
    detail: Annotated[str | None, typer.Option(help="high or low, for pictures.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the samples, 10000000 or above.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Questions answered at once.")] = 32,
    font_folder: Annotated[
        list[str] | None, typer.Option(help="Folder of font files besides the system's; may be repeated.")
    ] = None,
    pictures: Annotated[
        Path | None,
        typer.Option(help="Store of named pictures (oryx data pictures), for the tests on things."),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Folder for skills.json and skills.md.")] = None,
    card: Annotated[
        Path | None, typer.Option(help="File or folder (README.md there) to write a model card to.")
    ] = None,
    card_page: Annotated[
        list[Path] | None,
        typer.Option(help="Markdown that ends the card, such as needle.md or rooms.md; may be repeated."),
    ] = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    as_json: Json = False,
) -> None:
    """Ask about fresh pictures and videos of everything nano is trained for."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    from oryx.evaluation.card import check_card, write_card
    from oryx.evaluation.report import (
        FILES,
        check_output,
        hash_weights,
        make_report,
        results_table,
        save_report,
        skills_command,
    )
    from oryx.evaluation.skills import (
        FIRST_TEST_SEED,
        SWEEP_PIXELS,
        SWEEP_RATIOS,
        SWEEP_TESTS,
        drawable_tests,
        evaluate_skills,
        make_test_source,
    )
    from oryx.loading import load, resolve_folder

    seed = FIRST_TEST_SEED if seed is None else seed
    ratios: list[int | None] = [*compression] if compression else [None]
    caps: list[int | None] = [*max_pixels] if max_pixels else [None]
    store = None if pictures is None else str(pictures)
    tests = test or drawable_tests(store)
    runs = [(tests, ratio, cap) for ratio, cap in itertools.product(ratios, caps)]
    if sweep:
        runs += [(list(SWEEP_TESTS), ratio, None) for ratio in SWEEP_RATIOS]
        runs += [(list(SWEEP_TESTS), None, cap) for cap in SWEEP_PIXELS]
    # Everything that can be refused is refused before hours of work.
    if card is not None:
        check_card(card, [(ratio, cap, detail) for _, ratio, cap in runs], card_page or ())
    folder = resolve_folder(model)
    if output is not None:
        check_output(output, FILES, hash_weights(folder))
    for names, ratio, _ in runs:
        for name in names:
            make_test_source(name, seed, ratio, detail, font_folder or (), store)
    loaded, processor = load(model, dtype=dtype, device=device)
    results = []
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        line = bar.add_task("loading", total=samples * sum(len(run[0]) for run in runs))

        def advance(name: str, number: int) -> None:
            bar.update(line, description=name, advance=number)

        for names, ratio, cap in runs:
            results += evaluate_skills(
                loaded,
                processor,
                names,
                samples,
                seed,
                compression=ratio,
                detail=detail,
                max_pixels=cap,
                batch_size=batch_size,
                font_folders=font_folder or (),
                pictures=store,
                progress=advance,
            )
    command = skills_command(
        model,
        samples,
        seed,
        tests=test or (),
        compressions=compression or (),
        max_pixels=max_pixels or (),
        sweep=sweep,
        detail=detail,
        font_folders=font_folder or (),
        pictures=store,
    )
    report = make_report(model, folder, loaded, results, command, font_folder or ())
    # Printed first: a disk that is full by now must not take hours of work with it.
    typer.echo(json.dumps(report.to_dict()) if as_json else results_table(results), nl=as_json)
    written = save_report(report, output) if output is not None else []
    if card is not None:
        written.append(write_card(report, card, card_page or ()))
    for path in written:
        typer.echo(f"Wrote {path}.", err=True)
