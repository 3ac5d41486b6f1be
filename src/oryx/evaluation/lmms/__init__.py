"""The lmms-eval plugin: `lmms-eval --model oryx_mllm --model_args model=nano --tasks ...`.

lmms-eval lives in an environment of its own (docs/evaluation.md), so nothing here imports it before it is
asked for. `python -m oryx.evaluation.lmms tasks` prints the folder of the tasks that are shipped here,
`configs` that of the configurations of the published tables.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from oryx.evaluation.lmms.videos import video_folder

MODEL_ID = "oryx_mllm"
"""What `--model` takes. lmms-eval's own `oryx` is an adapter for the reference's code."""
TASKS = Path(__file__).parent / "tasks"
"""For `--include_path`: a folder for each benchmark that lmms-eval lacks, or scores by guessing."""
CONFIGS = Path(__file__).parent / "configs"
"""Files for `--config`, one for each published table."""


def manifest() -> Any:
    """The `lmms_eval.models` entry point: how lmms-eval finds the model.

    lmms-eval does not build tasks that compare likelihoods (`output_type: multiple_choice`) for chat models;
    with `--force_simple` the second class answers them.
    """
    # Before any task is imported: some of lmms-eval's end without it, some look for videos in a folder "~".
    os.environ["HF_HOME"] = str(video_folder())

    from lmms_eval.models.registry_v2 import ModelManifest

    module = f"{__name__}.model"
    return ModelManifest(
        model_id=MODEL_ID, chat_class_path=f"{module}.OryxChat", simple_class_path=f"{module}.OryxSimple"
    )
