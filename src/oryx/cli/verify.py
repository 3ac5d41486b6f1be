"""`oryx verify`: check a real checkpoint and print a report to send."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from oryx.cli import options as opt


def verify_command(
    folder: Annotated[
        str, typer.Argument(metavar="FOLDER", help="Folder or hub id, published or native, or nano.")
    ],
    vision_tower: opt.VisionTower = None,
    quantize: opt.Quantize = None,
    device: opt.Device = "auto",
    dtype: opt.Dtype = "auto",
    as_json: opt.Json = False,
) -> None:
    """Check keys, shapes, tokenizer and a forward pass, ask known questions, and print a report."""
    from oryx.checkpoints.verify import verify
    from oryx.cli.display import print_rows
    from oryx.cli.forecast import model_folder
    from oryx.cli.noise import quiet_transformers

    quiet_transformers()
    report = verify(model_folder(folder), vision_tower, dtype, device, quantize)
    if as_json:
        print(json.dumps(report, ensure_ascii=False))
        return
    print_rows(list(_rows(report)))
    print("Everything fits its config. Please send this report to the project if you can.")


def _rows(report: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """One row for each value; dicts by their keys, answers one per row."""
    for name, value in report.items():
        if name == "answers":
            for entry in value:
                mark = "ok" if entry["as_expected"] else f"expected {entry['expected']!r}"
                yield "answer", f"{entry['picture']}: {entry['question']} -> {entry['answer']!r} ({mark})"
        elif isinstance(value, dict):
            yield from _rows(value, f"{prefix}{name}.")
        else:
            yield prefix + name, f"{value:,}" if isinstance(value, int) and value > 9999 else str(value)
