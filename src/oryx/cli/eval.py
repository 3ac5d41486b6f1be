"""`oryx eval`: measure a model on a task of this package. Each has a file of its own, `eval_<name>.py`."""

from __future__ import annotations

import typer

from oryx.cli.eval_claims import eval_claims_command
from oryx.cli.eval_needle import eval_needle_command
from oryx.cli.eval_qa_3d import eval_scanqa_command, eval_sqa3d_command
from oryx.cli.eval_report import eval_report_command
from oryx.cli.eval_rooms import eval_rooms_command
from oryx.cli.eval_skills import eval_skills_command

eval_app = typer.Typer(help="Measure a model on a task of this package.", invoke_without_command=True)
eval_app.command("skills")(eval_skills_command)
eval_app.command("needle")(eval_needle_command)
eval_app.command("rooms")(eval_rooms_command)
eval_app.command("scanqa")(eval_scanqa_command)
eval_app.command("sqa3d")(eval_sqa3d_command)
eval_app.command("claims")(eval_claims_command)
eval_app.command("report")(eval_report_command)


@eval_app.callback()
def _help(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
