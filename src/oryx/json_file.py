"""JSON settings files. Without torch, so that `oryx plan` and `--help` stay quick."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from oryx.errors import CheckpointError


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`.

    Raises:
        CheckpointError: the file is missing, or not a JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing.") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON ({error}).") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds no JSON object.")
    return content
