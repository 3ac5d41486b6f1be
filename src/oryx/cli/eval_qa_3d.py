"""`oryx eval scanqa` and `oryx eval sqa3d`: questions about scanned rooms, seen in several views."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from oryx.cli import options as opt

if TYPE_CHECKING:
    from oryx.evaluation.qa_answers import Benchmark
    from oryx.evaluation.qa_kept import KeptAnswers
    from oryx.evaluation.qa_records import SceneItem

Records = Annotated[
    Path,
    typer.Argument(metavar="RECORDS", help="Evaluation records: oryx data correspondence --records eval."),
]
SkipMissing = Annotated[
    bool, typer.Option("--skip-missing", help="Leave out the questions whose views are missing.")
]
Output = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Folder for results and answers; the same command goes on where it was cut."
    ),
]


def eval_scanqa_command(
    records: Records,
    model: opt.Model = "nano",
    max_new_tokens: opt.MaxNewTokens = 32,
    skip_missing: SkipMissing = False,
    output: Output = None,
    device: opt.Device = "auto",
    dtype: opt.Dtype = "auto",
    vision_tower: opt.VisionTower = None,
    quantize: opt.Quantize = None,
    as_json: opt.Json = False,
) -> None:
    """ScanQA: EM, BLEU, METEOR, ROUGE-L and CIDEr, by its own rules and by those of later papers."""
    how = {"device": device, "dtype": dtype, "vision_tower": vision_tower, "quantize": quantize}
    _evaluate("scanqa", records, model, max_new_tokens, skip_missing, output, how, as_json)


def eval_sqa3d_command(
    records: Records,
    model: opt.Model = "nano",
    max_new_tokens: opt.MaxNewTokens = 32,
    skip_missing: SkipMissing = False,
    output: Output = None,
    device: opt.Device = "auto",
    dtype: opt.Dtype = "auto",
    vision_tower: opt.VisionTower = None,
    quantize: opt.Quantize = None,
    as_json: opt.Json = False,
) -> None:
    """SQA3D: the same, with a situation to stand in, and exact matches by the question's first word."""
    how = {"device": device, "dtype": dtype, "vision_tower": vision_tower, "quantize": quantize}
    _evaluate("sqa3d", records, model, max_new_tokens, skip_missing, output, how, as_json)


def _evaluate(
    benchmark: Benchmark,
    path: Path,
    model: str,
    max_new_tokens: int,
    skip_missing: bool,
    output: Path | None,
    how: dict[str, Any],
    as_json: bool,
) -> None:
    from oryx.errors import ConfigError
    from oryx.evaluation.output import check_output, command_line, hash_weights
    from oryx.evaluation.qa_3d import score_items
    from oryx.evaluation.qa_3d_report import QaReport, caption_table, file_names, match_table, save_report
    from oryx.evaluation.qa_kept import KeptAnswers
    from oryx.evaluation.qa_records import read_items, refuse_missing
    from oryx.loading import resolve_device, resolve_folder
    from oryx.processing.weights import check_quantize

    # Everything that can be refused is refused before hours of work.
    check_quantize(how["quantize"])
    records = read_items(path, benchmark)
    missing = records.missing_views()
    if not skip_missing:
        refuse_missing(records, missing, "--skip-missing")
    items = records.without(missing)
    if not items:
        raise ConfigError(f"the views of all {len(records.items)} questions of '{path}' are missing.")
    weights = resolve_folder(model)
    given = {
        **opt.weights(model, how["vision_tower"], how["quantize"], how["dtype"]),
        "--max-new-tokens": max_new_tokens,
        "--skip-missing": skip_missing,
    }
    command = command_line(benchmark, given, path)
    sha256 = hash_weights(weights, how["vision_tower"])
    names = file_names(benchmark)
    if output is not None:
        check_output(output, names, command, sha256)
    conditions = {
        "model_sha256": sha256,
        "records_sha256": records.sha256,
        "device": str(resolve_device(how["device"])),
    }
    kept = KeptAnswers(None if output is None else output / names[2], command, conditions)
    _tell_lacks()
    _answer(model, weights, sha256, how, items, max_new_tokens, kept)
    assert kept.facts is not None
    report = QaReport(
        benchmark=benchmark,
        facts={**kept.facts, "model": model},
        records=str(path),
        records_sha256=records.sha256,
        num_left_out=len(records.items) - len(items),
        max_new_tokens=max_new_tokens,
        command=command,
        result=score_items(benchmark, items, kept.answers),
    )
    if as_json:
        typer.echo(json.dumps(report.to_dict()))
    else:
        typer.echo(f"{match_table(benchmark, report.result)}\n{caption_table(report.result)}", nl=False)
    for written in save_report(report, output) if output is not None else []:
        typer.echo(f"Wrote {written}.", err=True)


def _answer(
    model: str,
    weights: Path,
    sha256: str,
    how: dict[str, Any],
    items: tuple[SceneItem, ...],
    max_new_tokens: int,
    kept: KeptAnswers,
) -> None:
    """Ask what is not answered yet; nothing is loaded where all is."""
    from oryx.cli.display import progress_bar
    from oryx.evaluation.output import model_facts
    from oryx.evaluation.qa_3d import answer_items
    from oryx.loading import load

    num_done = sum(item.id in kept.answers for item in items)
    if num_done:
        typer.echo(f"{num_done} of {len(items)} questions were answered before.", err=True)
    if num_done == len(items):
        return
    loaded, processor = load(weights, **how)
    kept.begin(model_facts(model, sha256, loaded))
    with progress_bar("questions") as bar:
        answer_items(loaded, processor, items, max_new_tokens, kept.answers, kept.add, bar.update)


def _tell_lacks() -> None:
    """Say before the run which metrics will be missing, and that they can be had later."""
    from oryx.evaluation.captions import what_lacks

    lacks = what_lacks("ptb")
    if lacks:
        (need,) = set(lacks.values())
        typer.echo(
            f"oryx: caption metrics need {need}; with --output the same command adds them later, without "
            "asking again.",
            err=True,
        )
