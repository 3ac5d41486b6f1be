"""`oryx eval report`: results folders as one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from oryx.cli.eval_subject import tell_written


def eval_report_command(
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="FOLDER...", help="Results folders of oryx eval or lmms-eval, of any tasks and models."
        ),
    ],
    output: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for report.html, report.md and its pictures.")
    ] = Path("report"),
) -> None:
    """Put results on one page, with charts; runs of the same task stand side by side, with what differs."""
    from oryx.evaluation.comparison.write import check_report, read_runs, write_report

    check_report(output)
    tell_written(write_report(read_runs(folders), output))
