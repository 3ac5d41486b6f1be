"""What a report of claims may be written over: one of the same arms, so that nothing measured is lost."""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from pathlib import Path

from oryx.errors import ConfigError
from oryx.evaluation.claims.report import HEADING, RESULTS_JSON, RESULTS_PAGE
from oryx.files import check_folder, check_writable

Arms = Collection[tuple[str, int]]
"""(arm, seed) of all results that a report will hold."""


def check_results(path: Path, arms: Arms, quick: bool) -> None:
    """Refuses a JSON of results that would lose some.

    Args:
        path: of the file to be written.
        quick: whether the report to be written is of a quick run.

    Raises:
        ConfigError: it holds something else, an arm and seed that is not among `arms`, or the results of a
            run that was quick where this one is not, or the other way round.
    """
    check_writable(path)
    if not os.path.lexists(path):
        return
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        there = {(str(one["arm"]), int(one["seed"])) for one in content["arms"]}
        was_quick = bool(content["quick"])
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigError(f"{path} cannot be read as results of claims; choose another place.") from None
    if was_quick != quick and there:
        kind = "a quick run" if was_quick else "a whole run"
        raise ConfigError(f"{path} holds the results of {kind}; choose another place.")
    if lost := sorted(there.difference(arms)):
        name, seed = lost[0]
        raise ConfigError(
            f"{path} holds {len(lost)} of {len(there)} results that would be lost, such as {name} of seed "
            f"{seed}; choose another place, or remove the file."
        )


def check_report(folder: Path, arms: Arms, quick: bool) -> None:
    """Refuses a folder whose report would lose something, or that cannot be written.

    Raises:
        ConfigError: see `check_results`; or its page is of something else.
    """
    check_folder(folder)
    check_results(folder / RESULTS_JSON, arms, quick)
    page = folder / RESULTS_PAGE
    check_writable(page)
    if not os.path.lexists(page):
        return
    try:
        is_ours = page.read_text(encoding="utf-8").startswith(HEADING)
    except (OSError, UnicodeDecodeError):
        is_ours = False
    if not is_ours:
        raise ConfigError(f"{page} is a page of something else; choose another --output.")
