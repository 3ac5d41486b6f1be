"""What a chain leaves when it ends: a table of its parts, the same as a page, and the loss over them all."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeAlias

import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from oryx.files import write_whole
from oryx.training.curves import Curve, draw_curves, read_curve
from oryx.training.progress import say

if TYPE_CHECKING:
    from oryx.training.chain import Chain

PICTURE, PAGE = "all_parts.png", "all_parts.md"
"""In the chain's folder."""
_HEADINGS = ("part", "steps", "minutes", "first loss", "last loss")
_Row: TypeAlias = tuple[str, str, str, str, str]


def sum_up(chain: Chain, console: Console) -> None:
    """Print the table, write the page, draw the picture; what cannot be written is said, and ends nothing."""
    curves = [read_curve(part.folder / "log.jsonl", part.name) for part in chain.parts]
    table = Table(_HEADINGS[0], title=escape(f"Parts of {chain.path}"))
    for heading in _HEADINGS[1:]:
        table.add_column(heading, justify="right")
    for curve in curves:
        table.add_row(*map(escape, _row(curve)))
    console.print(table)
    picture, page = chain.folder / PICTURE, chain.folder / PAGE
    try:
        if draw_curves(curves, picture, f"loss of {chain.folder.name}") is None:
            return
        write_whole(page, make_page(curves).encode("utf-8"))
    except OSError as error:  # the models are worth more than their picture
        say(console, f"{page} and {PICTURE} could not be written ({error})")
        return
    say(console, f"{page} has this table and the loss over all parts ({PICTURE}).")


def make_page(curves: list[Curve]) -> str:
    """The table and the picture as Markdown, as a model's card takes it (`oryx eval skills --card-page`)."""
    lines = ["| " + " | ".join(_HEADINGS) + " |", "|---" * len(_HEADINGS) + "|"]
    lines += ["| " + " | ".join(_row(curve)) + " |" for curve in curves]
    table = "\n".join(lines)
    return f"""\
# How long it took

Minutes of training, without steps that were lost to a cut. This page was written on {_machine()}.

{table}

![Loss over all parts]({PICTURE})
"""


def _row(curve: Curve) -> _Row:
    if not curve.steps:
        return curve.name, "-", "-", "-", "-"
    return (
        curve.name,
        f"{curve.steps[-1]:,}",
        f"{curve.minutes:.1f}",
        f"{curve.losses[0]:.4f}",
        f"{curve.losses[-1]:.4f}",
    )


def _machine() -> str:
    if torch.cuda.is_available():
        return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    return f"{os.cpu_count()} CPU cores ({torch.backends.cpu.get_cpu_capability()})"
