"""`oryx eval scanqa` and `oryx eval sqa3d`: questions about scanned rooms, seen in several views."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from oryx.cli import options as opt
from oryx.cli.eval_subject import (
    Address,
    ApiKeyEnv,
    Requests,
    Subject,
    Url,
    UrlModel,
    find_subject,
    tell_kept,
    tell_written,
    telling_of_stops,
)
from oryx.cli.noise import complain

if TYPE_CHECKING:
    from oryx.evaluation.answers import Answerer
    from oryx.evaluation.journal import Journal
    from oryx.evaluation.scenes.evaluate import QaResult
    from oryx.evaluation.scenes.records import SceneItem
    from oryx.evaluation.scenes.rules import Benchmark

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


def _command(benchmark: Benchmark, about: str) -> Callable[..., None]:
    """The command of a benchmark; both take the same options."""

    def command(
        records: Records,
        model: opt.Model = "nano",
        max_new_tokens: opt.MaxNewTokens = 32,
        skip_missing: SkipMissing = False,
        output: Output = None,
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
        how = {"device": device, "dtype": dtype, "vision_tower": vision_tower, "quantize": quantize}
        who = {"model": model, **how, "address": Address(url, url_model, api_key_env, requests)}
        _evaluate(benchmark, records, who, max_new_tokens, skip_missing, output, as_json)

    command.__doc__ = about
    return command


eval_scanqa_command = _command(
    "scanqa", "ScanQA: EM, BLEU, METEOR, ROUGE-L and CIDEr, by its own rules and by those of later papers."
)
eval_sqa3d_command = _command(
    "sqa3d",
    "SQA3D: the same, with a situation to stand in, and exact matches by the question's first word.",
)


def _evaluate(
    benchmark: Benchmark,
    path: Path,
    who: dict[str, Any],
    max_new_tokens: int,
    skip_missing: bool,
    output: Path | None,
    as_json: bool,
) -> None:
    from oryx.errors import ConfigError
    from oryx.evaluation.journal import Journal
    from oryx.evaluation.output import command_line
    from oryx.evaluation.scenes.evaluate import lacks_here
    from oryx.evaluation.scenes.records import read_items, refuse_missing
    from oryx.evaluation.scenes.report import QaReport, caption_table, check_results, match_table, save_report
    from oryx.processing.weights import check_quantize

    # Everything that can be refused is refused before hours of work.
    check_quantize(who["quantize"])
    records = read_items(path, benchmark)
    missing = records.missing_views()
    if not skip_missing:
        refuse_missing(records, missing, "--skip-missing")
    items = records.without(missing)
    if not items:
        raise ConfigError(f"the views of all {len(records.items)} questions of '{path}' are missing.")
    subject = find_subject(**who, dials={})
    given = {**subject.options, "--max-new-tokens": max_new_tokens, "--skip-missing": skip_missing}
    command = command_line(benchmark, given, path)
    conditions = {"device": subject.device, "records_sha256": records.sha256}
    lacks = lacks_here()
    if output is not None:
        check_results(output, benchmark, command, subject.identity, conditions, lacks)
    journal = Journal(output, benchmark, command, conditions, complain)
    _tell_lacks(lacks)
    facts, result = _measure(subject, journal, benchmark, items, max_new_tokens)
    report = QaReport(
        benchmark=benchmark,
        facts=facts,
        records=str(path),
        records_sha256=records.sha256,
        num_left_out=len(records.items) - len(items),
        max_new_tokens=max_new_tokens,
        command=command,
        result=result,
    )
    # Printed first: a disk that is full by now must not take hours of work with it.
    if as_json:
        typer.echo(json.dumps(report.to_dict()))
    else:
        typer.echo(f"{match_table(benchmark, report.result)}\n{caption_table(report.result)}", nl=False)
    if output is not None:
        tell_written(save_report(report, output))
    if result.is_whole:
        journal.remove()
    else:  # what lacks is scored from it later
        journal.close()


def _measure(
    subject: Subject,
    journal: Journal,
    benchmark: Benchmark,
    items: Sequence[SceneItem],
    max_new_tokens: int,
) -> tuple[dict[str, Any], QaResult]:
    """The facts and the result of a model, which is not loaded where it answered everything before."""
    from oryx.cli.display import progress_bar
    from oryx.evaluation.scenes.asking import SceneAnswerer
    from oryx.evaluation.scenes.evaluate import are_kept, measure_qa

    answerer: Answerer | None = None
    before = journal.before(subject.identity)
    if before is not None and are_kept(items, before[1]):
        facts = {**before[0], "model": subject.options.get("--model", before[0]["model"])}
    else:
        opened = subject.open()
        facts = opened.facts
        is_here = opened.model is not None
        answerer = SceneAnswerer(opened.model, opened.processor) if is_here else opened.answerer
    kept = journal.of(facts)
    tell_kept(len(kept), "answers")
    with telling_of_stops(journal), progress_bar("questions") as bar:
        at_once = subject.requests or 1
        result = measure_qa(answerer, benchmark, items, max_new_tokens, at_once, bar.update, kept)
    return facts, result


def _tell_lacks(lacks: dict[str, dict[str, str]]) -> None:
    """Say before the run which metrics will be missing, and that they can be had later."""
    for need in {need for needs in lacks.values() for need in needs.values()}:
        typer.echo(
            f"oryx: caption metrics need {need}; with --output the same command adds them later, without "
            "asking again.",
            err=True,
        )
