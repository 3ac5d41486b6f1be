"""Puts results into a page of documentation, between two marks; the rest of the page stays as it is."""

from __future__ import annotations

import json
from pathlib import Path

from oryx.errors import ConfigError
from oryx.evaluation.claims.report import RESULTS_JSON, ClaimsReport, results_page, save_pictures
from oryx.evaluation.output import write_text

BEGIN, END = "<!-- results: oryx eval claims -->", "<!-- end of results -->"
PICTURES = "pictures"
"""Folder of pictures beside the page."""


def read_page(page: Path) -> tuple[str, str]:
    """What stands before and behind the results.

    Raises:
        ConfigError: the page cannot be read, or lacks the marks.
    """
    try:
        text = page.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise ConfigError(f"{page} cannot be read ({reason}).") from None
    before, begin, rest = text.partition(BEGIN)
    _, end, behind = rest.partition(END)
    if not begin or not end:
        raise ConfigError(f"{page} has no place for results; it must hold the lines {BEGIN} and {END}.")
    return before, behind


def write_page(report: ClaimsReport, page: Path) -> list[Path]:
    """The page with these results, its pictures in `pictures/`, the JSON beside it; returns their paths.

    Raises:
        ConfigError: see `read_page`; or the disk refuses.
    """
    before, behind = read_page(page)
    text = f"{before}{BEGIN}\n\n{results_page(report, f'{PICTURES}/')}\n{END}{behind}"
    results = write_text(page.parent / RESULTS_JSON, json.dumps(report.to_dict(), indent=1) + "\n")
    return [write_text(page, text), results, *save_pictures(report, page.parent / PICTURES)]
