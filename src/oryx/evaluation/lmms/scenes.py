"""The tasks of ScanQA and SQA3D, for records of your own.

lmms-eval finds a task's records by what its file says, so the file is written beside them. It must be found
by name (`--include_path FOLDER --tasks oryx_scanqa`): of a file that `--tasks` is given itself, lmms-eval
0.7.3 makes a task without messages, and the views would be left out.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from oryx.errors import ConfigError
from oryx.evaluation.lmms import TASKS
from oryx.evaluation.qa_answers import Benchmark
from oryx.evaluation.qa_records import read_items

FOLDER = "lmms_eval"


def write_scene_task(benchmark: Benchmark, records: Path) -> Path:
    """Write `lmms_eval/<benchmark>.yaml` beside a file of evaluation records.

    Returns:
        The folder for `--include_path`; the task's id is `oryx_<benchmark>`.

    Raises:
        ConfigError: what `read_items` refuses, or the file cannot be written.
    """
    path = read_items(records, benchmark).path.resolve()
    settings = {
        "include": str(TASKS / "scenes" / f"{benchmark}_template_yaml"),
        "task": f"oryx_{benchmark}",
        "dataset_kwargs": {"data_files": {"test": str(path)}},
        "lmms_eval_specific_kwargs": {"default": {"root": str(path.parent)}},
    }
    folder = path.parent / FOLDER
    try:
        folder.mkdir(exist_ok=True)
        (folder / f"{benchmark}.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written ({error.strerror}).") from None
    return folder
