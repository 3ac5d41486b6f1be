"""From results folders to `report.md`, `report.html` and the pictures of the first."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from oryx.errors import ConfigError
from oryx.evaluation.comparison.build import build_page
from oryx.evaluation.comparison.html_page import to_html
from oryx.evaluation.comparison.lmms_runs import read_lmms
from oryx.evaluation.comparison.markdown import MARK, to_markdown
from oryx.evaluation.comparison.own_runs import RESULTS, read_own
from oryx.evaluation.comparison.pictures import as_file
from oryx.evaluation.comparison.runs import Run
from oryx.evaluation.output import write_text
from oryx.files import check_folder, check_writable

MARKDOWN, HTML, PICTURES = "report.md", "report.html", "pictures"
CLAIMS, CLAIMS_PAGE = "claims.json", "claims.md"


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """The runs of all folders, in their order.

    Raises:
        ConfigError: a folder that is none, is named twice, holds no results, or some that cannot be read.
    """
    runs: list[Run] = []
    seen: dict[Path, Path] = {}
    for folder in folders:
        place = folder.resolve()
        if place in seen:
            raise ConfigError(f"{folder} is named twice; each results folder is one side of the report.")
        seen[place] = folder
        if not folder.is_dir():
            raise ConfigError(f"{folder} is no folder; a results folder of oryx eval or lmms-eval is needed.")
        found = [*read_own(folder), *read_lmms(folder)]
        if not found:
            if (folder / CLAIMS).exists():
                raise ConfigError(f"{folder} holds results of claims, whose own page is {CLAIMS_PAGE} there.")
            raise ConfigError(
                f"{folder} holds no results; of oryx eval these are {', '.join(RESULTS[:-1])} or "
                f"{RESULTS[-1]}, of lmms-eval DATE_results.json."
            )
        runs += found
    return runs


def check_report(output: Path) -> None:
    """Refuse a folder with a page of something else, or that cannot be written. Raises `ConfigError`."""
    check_folder(output)
    for name in (MARKDOWN, HTML):
        check_writable(output / name)
    for path in (output / MARKDOWN, output / HTML):
        if os.path.lexists(path) and not _is_ours(path):
            raise ConfigError(f"{path} is a report of something else; choose another --output.")


def _is_ours(path: Path) -> bool:
    try:
        return MARK in path.read_text(encoding="utf-8")[:200]
    except (OSError, UnicodeDecodeError):
        return False


def write_report(runs: Sequence[Run], output: Path) -> list[Path]:
    """Writes the report, each file whole or not at all; returns the paths of the two pages.

    Raises:
        ConfigError: what `check_report` refuses, or a disk that does.
    """
    check_report(output)
    page = build_page(runs)
    for picture in page.pictures:
        path = output / PICTURES / picture.name
        if os.path.lexists(path) and not os.path.lexists(output / MARKDOWN):
            raise ConfigError(f"{path} is a picture of something else; choose another --output.")
    for picture in page.pictures:
        write_text(output / PICTURES / picture.name, as_file(picture.svg))
    return [
        write_text(output / MARKDOWN, to_markdown(page, PICTURES)),
        write_text(output / HTML, to_html(page)),
    ]
