"""`oryx eval skills`: what nano is trained for, on samples that nobody was trained on."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections import Counter
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
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder for skills.json, .md, .png and answers; the same command goes on where it was cut.",
        ),
    ] = None,
    card: Annotated[
        Path | None, typer.Option(help="File or folder (README.md there) to write a model card to.")
    ] = None,
    card_page: Annotated[
        list[Path] | None,
        typer.Option(help="Markdown that ends the card, such as needle.md or rooms.md; may be repeated."),
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
    """Ask about fresh pictures and videos of everything nano is trained for."""
    from oryx.cli.display import progress_bar
    from oryx.errors import ConfigError
    from oryx.evaluation.journal import Journal
    from oryx.evaluation.output import check_output, command_line
    from oryx.evaluation.skills.card import check_card, write_card
    from oryx.evaluation.skills.evaluate import (
        FIRST_TEST_SEED,
        SWEEP_PIXELS,
        SWEEP_RATIOS,
        SWEEP_TESTS,
        TESTS,
        SkillResult,
        drawable_tests,
        make_test_source,
        measure_skills,
    )
    from oryx.evaluation.skills.report import (
        CONDITIONS,
        FILES,
        font_families,
        hash_fonts,
        make_report,
        results_table,
        save_report,
    )
    from oryx.processing.weights import check_quantize

    check_quantize(quantize)
    seed = FIRST_TEST_SEED if seed is None else seed
    ratios: list[int | None] = [*compression] if compression else [None]
    caps: list[int | None] = [*max_pixels] if max_pixels else [None]
    store = None if pictures is None else str(pictures)
    tests = list(dict.fromkeys(test or drawable_tests(store)))
    left_out = [] if test else [name for name in TESTS if name not in tests]
    runs = [(name, ratio, cap) for ratio, cap in itertools.product(ratios, caps) for name in tests]
    if sweep:
        runs += [(name, ratio, None) for ratio in SWEEP_RATIOS for name in SWEEP_TESTS]
        runs += [(name, None, cap) for cap in SWEEP_PIXELS for name in SWEEP_TESTS]
    runs = list(dict.fromkeys(runs))
    # Everything that can be refused is refused before hours of work.
    if url is not None and card is not None:
        raise ConfigError("--card is of weights on this machine, not of a model behind --url.")
    if card is not None:
        check_card(card, model, [(ratio, cap, detail) for _, ratio, cap in runs], card_page or ())
    elif card_page:
        raise ConfigError("--card-page ends the card that --card writes; give --card too.")
    for name, ratio, _ in runs:
        make_test_source(name, seed, ratio, detail, font_folder or (), store)
    dials = {
        "--compression": compression,
        "--max-pixels": max_pixels,
        "--detail": detail,
        "--sweep": sweep or None,
    }
    address = Address(url, url_model, api_key_env, requests)
    subject = find_subject(model, vision_tower, quantize, dtype, device, address, dials)
    given = {
        **subject.options,
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
    command = command_line("skills", given)
    pictures_sha256 = _digest(pictures)
    folders = font_folder or ()
    values = subject.device, font_families(folders), hash_fonts(folders), pictures_sha256
    conditions = dict(zip(CONDITIONS, values, strict=True))
    if output is not None:
        check_output(output, FILES, command, subject.identity, conditions=conditions)
    journal = Journal(output, "skills", command, conditions, complain)
    if left_out:
        typer.echo(
            f"Without --pictures (see oryx data pictures) these are left out: {', '.join(left_out)}.",
            err=True,
        )
    opened = subject.open()
    kept = journal.of(opened.facts)
    tell_kept(len(kept), "answers")
    results: list[SkillResult] = []
    try:
        with telling_of_stops(journal), progress_bar("skills") as bar:

            def advance(name: str, number: int) -> None:
                counts[name] += number
                bar.update(counts.total(), samples * len(runs), name)

            counts: Counter[str] = Counter()
            for name, ratio, cap in runs:
                results += measure_skills(
                    opened.answerer,
                    [name],
                    samples,
                    seed,
                    compression=ratio,
                    detail=detail,
                    max_pixels=cap,
                    batch_size=subject.requests or batch_size,
                    font_folders=font_folder or (),
                    pictures=store,
                    progress=advance,
                    kept=kept,
                )
    except BaseException:  # Ctrl-C too: what is measured by now is not lost
        if results:
            typer.echo(f"Measured so far:\n{results_table(results)}", err=True, nl=False)
        raise
    report = make_report(opened.facts, opened.model, results, command, font_folder or (), pictures_sha256)
    # Printed first: a disk that is full by now must not take hours of work with it.
    typer.echo(json.dumps(report.to_dict()) if as_json else results_table(results), nl=as_json)
    written = save_report(report, output) if output is not None else []
    if card is not None:
        written.append(write_card(report, card, card_page or ()))
    tell_written(written)
    journal.remove()


def _digest(pictures: Path | None) -> str | None:
    """SHA-256 of a store of pictures. Raises `ConfigError` where there is none."""
    if pictures is None:
        return None
    from oryx.data.pictures.store import PictureStore

    with PictureStore(pictures).path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
