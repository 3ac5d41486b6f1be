"""`oryx eval skills`: what nano is trained for, on samples that nobody was trained on."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from oryx.cli import options as opt


def eval_skills_command(
    model: opt.Model = "nano",
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
    device: opt.Device = "auto",
    dtype: opt.Dtype = "auto",
    vision_tower: opt.VisionTower = None,
    quantize: opt.Quantize = None,
    as_json: opt.Json = False,
) -> None:
    """Ask about fresh pictures and videos of everything nano is trained for."""
    from oryx.cli.display import progress_bar
    from oryx.errors import ConfigError
    from oryx.evaluation.card import check_card, write_card
    from oryx.evaluation.output import check_output, command_line, hash_weights
    from oryx.evaluation.report import FILES, make_report, results_table, save_report
    from oryx.evaluation.skills import (
        FIRST_TEST_SEED,
        SWEEP_PIXELS,
        SWEEP_RATIOS,
        SWEEP_TESTS,
        SkillResult,
        drawable_tests,
        evaluate_skills,
        make_test_source,
    )
    from oryx.loading import load, resolve_folder
    from oryx.processing.weights import check_quantize

    check_quantize(quantize)
    seed = FIRST_TEST_SEED if seed is None else seed
    ratios: list[int | None] = [*compression] if compression else [None]
    caps: list[int | None] = [*max_pixels] if max_pixels else [None]
    store = None if pictures is None else str(pictures)
    tests = list(dict.fromkeys(test or drawable_tests(store)))
    runs = [(name, ratio, cap) for ratio, cap in itertools.product(ratios, caps) for name in tests]
    if sweep:
        runs += [(name, ratio, None) for ratio in SWEEP_RATIOS for name in SWEEP_TESTS]
        runs += [(name, None, cap) for cap in SWEEP_PIXELS for name in SWEEP_TESTS]
    # Everything that can be refused is refused before hours of work.
    if card is not None:
        check_card(card, [(ratio, cap, detail) for _, ratio, cap in runs], card_page or ())
    elif card_page:
        raise ConfigError("--card-page ends the card that --card writes; give --card too.")
    folder = resolve_folder(model)
    for name, ratio, _ in runs:
        make_test_source(name, seed, ratio, detail, font_folder or (), store)
    given = {
        **opt.weights(model, vision_tower, quantize, dtype),
        "--samples": samples,
        "--seed": None if seed == FIRST_TEST_SEED else seed,
        "--test": test or [],
        "--compression": compression or [],
        "--max-pixels": max_pixels or [],
        "--detail": detail,
        "--font-folder": font_folder or [],
        "--pictures": store,
        "--sweep": sweep,
    }
    command, sha256 = command_line("skills", given), hash_weights(folder, vision_tower)
    if output is not None:
        check_output(output, FILES, command, sha256)
    loaded, processor = load(folder, dtype=dtype, device=device, vision_tower=vision_tower, quantize=quantize)
    results: list[SkillResult] = []
    try:
        with progress_bar("skills") as bar:

            def advance(name: str, number: int) -> None:
                counts[name] += number
                bar.update(counts.total(), samples * len(runs), name)

            counts: Counter[str] = Counter()
            for name, ratio, cap in runs:
                results += evaluate_skills(
                    loaded,
                    processor,
                    [name],
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
    except BaseException:  # Ctrl-C too: what is measured by now is not lost
        if results:
            typer.echo(f"Measured so far:\n{results_table(results)}", err=True, nl=False)
        raise
    report = make_report(model, sha256, loaded, results, command, font_folder or ())
    # Printed first: a disk that is full by now must not take hours of work with it.
    typer.echo(json.dumps(report.to_dict()) if as_json else results_table(results), nl=as_json)
    written = save_report(report, output) if output is not None else []
    if card is not None:
        written.append(write_card(report, card, card_page or ()))
    for path in written:
        typer.echo(f"Wrote {path}.", err=True)
