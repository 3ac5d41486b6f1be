"""The task of needles in haystacks, for haystacks of your own.

lmms-eval finds a task's records by what its file says, so the file is written beside them.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from oryx.data.builders.haystack.write import RECORDS
from oryx.errors import ConfigError
from oryx.evaluation.lmms import TASKS

TASK = "oryx_needle"
TEMPLATE = TASKS / "needle" / "needle_template_yaml"
FOLDER = "lmms_eval"


def write_needle_task(haystacks: Path) -> Path:
    """Write `lmms_eval/needle.yaml` into a folder that `oryx data haystack --layout folder` made.

    Returns:
        The folder for `--include_path`; the task's id is `oryx_needle`.

    Raises:
        ConfigError: there are no haystacks in the folder, or the file cannot be written.
    """
    records = (haystacks / RECORDS).resolve()
    if not records.is_file():
        raise ConfigError(
            f"{haystacks} has no {RECORDS}; `oryx data haystack OUT --layout folder` writes it."
        )
    settings = {
        "include": str(TEMPLATE),
        "task": TASK,
        "dataset_kwargs": {"data_files": {"test": str(records)}},
        "lmms_eval_specific_kwargs": {"default": {"root": str(records.parent)}},
    }
    folder = records.parent / FOLDER
    try:
        folder.mkdir(exist_ok=True)
        (folder / "needle.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written ({error.strerror}).") from None
    return folder
