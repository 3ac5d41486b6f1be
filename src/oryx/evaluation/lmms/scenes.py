"""The tasks of ScanQA and SQA3D, for records of your own."""

from __future__ import annotations

from pathlib import Path

from oryx.evaluation.lmms.task_file import write_task_file
from oryx.evaluation.scenes.records import read_items
from oryx.evaluation.scenes.rules import Benchmark


def write_scene_task(benchmark: Benchmark, records: Path) -> Path:
    """Write `lmms_eval/<benchmark>.yaml` beside a file of evaluation records.

    Returns:
        The folder for `--include_path`; the task's id is `oryx_<benchmark>`.

    Raises:
        ConfigError: what `read_items` refuses, or the file cannot be written.
    """
    return write_task_file(benchmark, "scenes", read_items(records, benchmark).path)
