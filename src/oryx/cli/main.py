"""The `oryx` command: one small file per subcommand, mounted here, and one way for errors to leave.

Exit codes: 0 done, 2 the input is wrong (one sentence on stderr), 130 interrupted, 1 anything else. Nothing
here or at the top of a command's module imports torch or transformers, so `--help` answers at once.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from oryx import __version__
from oryx.cli.ask import ask_command
from oryx.cli.batch import batch_command
from oryx.cli.chat import chat_command
from oryx.cli.convert import convert_command
from oryx.cli.data import data_app
from oryx.cli.eval import eval_app
from oryx.cli.noise import complain, quiet
from oryx.cli.plan import plan_command
from oryx.cli.serve import serve_command
from oryx.cli.train import train_command
from oryx.cli.verify import verify_command
from oryx.cli.web import web_command
from oryx.errors import OryxError

# Newer releases of typer carry their own click: this is the base of usage errors in either case.
_ClickException: type[Exception] = typer.BadParameter.__mro__[2]

app = typer.Typer(
    help="Questions about images, videos and multi-view scenes, at any size and length.",
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("ask")(ask_command)
app.command("chat")(chat_command)
app.command("plan")(plan_command)
app.command("batch")(batch_command)
app.command("convert")(convert_command)
app.command("verify")(verify_command)
app.command("train")(train_command)
app.command("serve", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(
    serve_command
)
app.command("web")(web_command)
app.add_typer(eval_app, name="eval")
app.add_typer(data_app, name="data")


@app.callback()
def _options(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks and all warnings; may stand anywhere.")
    ] = False,
) -> None:
    if version:
        typer.echo(f"oryx {__version__}")
        raise typer.Exit()
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        arguments: without the program's name; those of the process if None.
    """
    given, debug = _take_debug(list(sys.argv[1:] if arguments is None else arguments))
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a model may say what the terminal's encoding lacks
            stream.reconfigure(errors="replace")
    with quiet(debug):
        try:
            code = typer.main.get_command(app).main(given, prog_name="oryx", standalone_mode=False)
            return code if isinstance(code, int) else 0
        except SystemExit as stop:  # a reader that closed the pipe
            return stop.code if isinstance(stop.code, int) else 1
        except (typer.Abort, KeyboardInterrupt):
            return 130
        except Exception as error:
            if debug:
                traceback.print_exc()
            elif not getattr(error, "is_echo", False):
                complain(_sentence(error))
            return 2 if isinstance(error, OryxError | _ClickException) else 1


def _sentence(error: Exception) -> str:
    if isinstance(error, _ClickException):
        return error.format_message()  # type: ignore[attr-defined]
    if isinstance(error, OryxError):
        return str(error)
    return f"{type(error).__name__}: {error} (--debug shows where)"


def _take_debug(arguments: list[str]) -> tuple[list[str], bool]:
    """Arguments without `--debug`, which may stand anywhere before a `--`, and whether it was there."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    options = [argument for argument in arguments[:end] if argument != "--debug"]
    return options + arguments[end:], len(options) < end
