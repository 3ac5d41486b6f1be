"""The task of needles in haystacks, for haystacks of your own."""

from __future__ import annotations

from pathlib import Path

from oryx.data.builders.haystack.write import RECORDS
from oryx.errors import ConfigError
from oryx.evaluation.lmms.task_file import write_task_file


def write_needle_task(haystacks: Path) -> Path:
    """Write `lmms_eval/needle.yaml` into a folder that `oryx data haystack --layout folder` made.

    Returns:
        The folder for `--include_path`; the task's id is `oryx_needle`.

    Raises:
        ConfigError: there are no haystacks in the folder, or the file cannot be written.
    """
    records = haystacks / RECORDS
    if not records.is_file():
        raise ConfigError(
            f"{haystacks} has no {RECORDS}; `oryx data haystack OUT --layout folder` writes it."
        )
    return write_task_file("needle", "needle", records)
