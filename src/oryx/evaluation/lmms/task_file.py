"""Tasks for records of your own.

lmms-eval finds a task's records by what its file says, so the file is written beside them. It must be found
by name (`--include_path FOLDER --tasks oryx_scanqa`): of a file that `--tasks` is given itself, lmms-eval
0.7.3 makes a task without messages, and what is shown would be left out.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from oryx.errors import ConfigError
from oryx.evaluation.lmms import TASKS

FOLDER = "lmms_eval"


def write_task_file(name: str, group: str, records: Path) -> Path:
    """Write `lmms_eval/<name>.yaml` beside a file of records.

    Args:
        name: of the task, whose id is `oryx_<name>`.
        group: the folder in `tasks/` that holds `<name>_template_yaml`.
        records: JSON lines; paths in them start in their folder.

    Returns:
        The folder for `--include_path`.

    Raises:
        ConfigError: the file cannot be written.
    """
    records = records.resolve()
    settings = {
        "include": str(TASKS / group / f"{name}_template_yaml"),
        "task": f"oryx_{name}",
        "dataset_kwargs": {"data_files": {"test": str(records)}},
        "lmms_eval_specific_kwargs": {"default": {"root": str(records.parent)}},
    }
    folder = records.parent / FOLDER
    try:
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written ({error.strerror}).") from None
    return folder
