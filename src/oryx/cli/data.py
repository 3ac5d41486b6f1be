"""`oryx data`: make, check and pack training data. Each command has a file of its own, `data_<name>.py`."""

from __future__ import annotations

import typer

from oryx.cli.data_check import check_command
from oryx.cli.data_correspondence import correspondence_command
from oryx.cli.data_haystack import haystack_command
from oryx.cli.data_needle import needle_command
from oryx.cli.data_pack import pack_command
from oryx.cli.data_pictures import pictures_command
from oryx.cli.data_rooms import rooms_command

data_app = typer.Typer(help="Make, check and pack training data.", invoke_without_command=True)
data_app.command("check")(check_command)
data_app.command("pack")(pack_command)
data_app.command("needle")(needle_command)
data_app.command("haystack")(haystack_command)
data_app.command("correspondence")(correspondence_command)
data_app.command("pictures")(pictures_command)
data_app.command("rooms")(rooms_command)


@data_app.callback()
def _help(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
