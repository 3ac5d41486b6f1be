"""The processor's settings file, read without torch, so that `oryx plan` stays quick."""

from pathlib import Path
from typing import Any

from oryx.errors import CheckpointError
from oryx.json_file import read_json
from oryx.processing.geometry import nearest

PROCESSOR_KEYS = ("resize_rule", "prompt_style", "system_prompt", "image_token")
"""Settings of an `OryxProcessor`, which its `to_dict` writes."""
# What `transformers` may write beside them.
_OF_TRANSFORMERS = ("processor_class", "auto_map", "tokenizer", "chat_template", "transformers_version")


def processor_settings(folder: Path) -> dict[str, Any]:
    """A native folder's `processor_config.json`.

    Raises:
        CheckpointError: missing, no JSON object, or an unknown key.
    """
    file = folder / "processor_config.json"
    settings = read_json(file)
    for key in settings:
        if key not in (*PROCESSOR_KEYS, *_OF_TRANSFORMERS):
            raise CheckpointError(f"{file} has no setting {key!r}; {nearest(key, PROCESSOR_KEYS)}.")
    if not isinstance(settings.get("resize_rule") or {}, dict):
        raise CheckpointError(f"{file}: resize_rule must be an object, not {settings['resize_rule']!r}.")
    return settings
