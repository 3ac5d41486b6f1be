"""`oryx data check`: every record of a mixture, before hours of training meet a broken one."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from oryx.cli.options import Json
from oryx.errors import ConfigError

if TYPE_CHECKING:
    from oryx.data.sources.base import Source
    from oryx.data.sources.checking import SourceReport
    from oryx.processing.processor import OryxProcessor


def check_command(
    what: Annotated[list[str], typer.Argument(metavar="RECIPE_OR_FILE...", help="Recipes, or data.")],
    quick: Annotated[bool, typer.Option("--quick", help="Headers alone: nothing is decoded.")] = False,
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Whose tokens are counted; the recipe's, or nano for files."),
    ] = None,
    format_: Annotated[str | None, typer.Option("--format", help="Of files; guessed where left out.")] = None,
    media_root: Annotated[
        str | None, typer.Option(metavar="DIR", help="Folder that the files' media paths start from.")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a value of the recipes.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Processes that read; as many as there are processors.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Read all records and decode all media; name every broken one. Exit code 2 if there is one."""
    from oryx.cli.display import progress_bar
    from oryx.data.sources.checking import check_source

    num_workers = (os.cpu_count() or 1) if workers is None else workers
    mixtures = [_open(name, model, format_, media_root, set_ or []) for name in what]
    total = sum(len(source) for mixture in mixtures for source in mixture.sources)
    with progress_bar("checking") as bar:
        done = 0

        def advance() -> None:
            nonlocal done
            done += 1
            bar.update(done, total)

        for mixture in mixtures:
            mixture.reports = [
                check_source(source, mixture.processor, quick, mixture.row_length, num_workers, advance)
                for source in mixture.sources
            ]
    broken = [problem for mixture in mixtures for report in mixture.reports for problem in report.broken]
    if as_json:
        typer.echo(
            json.dumps({"checked": [mixture.to_dict() for mixture in mixtures], "broken": len(broken)})
        )
    else:
        for mixture in mixtures:
            _print_table(mixture)
        for problem in broken:
            typer.echo(problem)
    if broken:
        raise typer.Exit(2)


@dataclass
class _Mixture:
    """What a recipe or a file names."""

    name: str
    sources: list[Source]
    processor: OryxProcessor
    weights: list[float | None]
    row_length: int | None = None
    synthetic_weight: float = 0.0
    reports: Sequence[SourceReport] = ()

    def shares(self) -> list[tuple[float, float]]:
        """Shares of the samples and of the tokens, of each source, in percent."""
        sizes = [
            float(report.num_whole) if weight is None else weight
            for weight, report in zip(self.weights, self.reports)
        ]
        samples = sum(sizes) + self.synthetic_weight
        lengths = [size * report.mean_length for size, report in zip(sizes, self.reports)]
        tokens = sum(lengths)
        return [
            (100 * size / (samples or 1), 100 * length / (tokens or 1))
            for size, length in zip(sizes, lengths)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        sources = [
            {
                "name": report.title,
                "licence": report.licence,
                "records": report.num_records,
                "tokens": report.num_tokens,
                "share": round(of_samples / 100, 6),
                "token_share": round(of_tokens / 100, 6),
                "broken": report.broken,
            }
            for report, (of_samples, of_tokens) in zip(self.reports, self.shares())
        ]
        return {"name": self.name, "sources": sources}


def _open(
    name: str, model: str | None, format_: str | None, media_root: str | None, overrides: Sequence[str]
) -> _Mixture:
    from oryx.cli.forecast import model_folder
    from oryx.data.sources.opening import open_source
    from oryx.data.sources.settings import make_settings
    from oryx.loading import load_processor

    if Path(name).suffix.lower() not in (".yaml", ".yml"):
        if overrides:
            raise ConfigError(f"--set is for recipes, and {name} is a file of records.")
        sources = [open_source(make_settings(name, format_, media_root))]
        return _Mixture(name, sources, load_processor(model_folder(model or "nano")), [None])
    if format_ is not None or media_root is not None:
        option = "--format" if format_ is not None else "--media-root"
        raise ConfigError(f"{option} is for files of records, and {name} is a recipe; its sources say that.")
    from oryx.training.building import build_processor
    from oryx.training.recipe import load_recipe

    recipe = load_recipe(name, overrides)
    used = recipe.data.used_sources
    if not used:
        raise ConfigError(f"{name} names no data.sources to check: its samples are drawn on the fly.")
    opened = [open_source(settings) for settings in used]
    processor = build_processor(recipe) if model is None else load_processor(model_folder(model))
    synthetic = recipe.data.synthetic if recipe.data.draws else None
    return _Mixture(
        name,
        opened,
        processor,
        [settings.weight for settings in used],
        recipe.batch.row_length,
        synthetic.weight or 0.0 if synthetic is not None else 0.0,
    )


def _print_table(mixture: _Mixture) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(mixture.name), title_justify="left")
    table.add_column("source", overflow="fold")
    for heading in ("records", "broken", "tokens", "of samples", "of tokens"):
        table.add_column(heading, justify="right")
    table.add_column("licence", overflow="fold")
    for report, (of_samples, of_tokens) in zip(mixture.reports, mixture.shares()):
        counts = (f"{report.num_records:,}", f"{len(report.broken):,}", f"{report.num_tokens:,}")
        shares = (f"{of_samples:.1f}%", f"{of_tokens:.1f}%")
        table.add_row(escape(report.title), *counts, *shares, escape(report.licence))
    if mixture.synthetic_weight:
        rest = 100 - sum(of_samples for of_samples, _ in mixture.shares())
        table.add_row("synthetic", "", "", "", f"{rest:.1f}%", "", "")
    Console(highlight=False).print(table)
