"""Whether a run goes on with a recipe: what may change between its starts."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from oryx.errors import ConfigError
from oryx.fields import build
from oryx.training.recipe import Recipe

ACCUMULATION = "batch.gradient_accumulation"
STEP = "step.json"
"""In a checkpoint: how many batches a step of its run read."""
# Changing these changes nothing about what is learned, but perhaps the last bits of it.
_FREE = re.compile(
    r"output|save_every|log_every|num_workers|num_threads|gradient_checkpointing|model\.attn_implementation"
    r"|data\.max_broken|data\.(sources|files)\.\d+\.(media_root|name|licence)|optim\.max_minutes"
    r"|parallel\.(reshard_after_forward|cpu_offload)"
)
# What was counted of records and materials tells whether they are still the same, wherever they are.
_COUNTED = re.compile(
    r"data\.((sources|files)\.\d+\.path|synthetic\.skills\.\w+\.(pictures|folder|font_folders))"
)
_FOLDERS = re.compile(
    r"model\.(from|new\.tokenizer|assemble\.(vision_tower|language_model|compressor|projector|tokenizer))"
)


def read_saved(file: Path) -> dict[str, Any]:
    """Dotted key -> value of a run's recipe. Settings that are younger than the run have their defaults.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        saved = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):  # YAML's own dates raise ValueError
        raise ConfigError(f"{file} cannot be read as a recipe; choose another --output.") from None
    with suppress(ConfigError):  # of a version with other keys: they are compared as they are
        saved = build(Recipe, saved, lambda key: key).to_dict()
    return flatten(saved)


def find_change(
    then: Mapping[str, Any], now: Mapping[str, Any], *, may_accumulate: bool = False, is_counted: bool = False
) -> str | None:
    """The first setting that differs and matters, if any.

    Args:
        then, now: as `read_saved` gives them.
        may_accumulate: another number of processes makes up for another accumulation.
        is_counted: that records and materials are the same is found out elsewhere.
    """
    for key in sorted({*then, *now}):
        before, after = then.get(key), now.get(key)
        if before == after or _FREE.fullmatch(key):
            continue
        if (may_accumulate and key == ACCUMULATION) or (is_counted and _COUNTED.fullmatch(key)):
            continue
        if _FOLDERS.fullmatch(key) and _is_same_place(before, after, then.get("output"), now.get("output")):
            continue
        return key
    return None


def _is_same_place(then: Any, now: Any, output_then: Any, output_now: Any) -> bool:
    """Whether it is one folder, spelled in two ways, or moved together with the folder of the run."""
    if not isinstance(then, str) or not isinstance(now, str):
        return False
    if os.path.abspath(then) == os.path.abspath(now):
        return True
    if not isinstance(output_then, str) or not isinstance(output_now, str):
        return False
    return os.path.relpath(then, output_then) == os.path.relpath(now, output_now)


def flatten(settings: Any, prefix: str = "") -> dict[str, Any]:
    """Dotted key -> value, for everything that is not itself a section, or a list of sections."""
    if isinstance(settings, list) and settings and all(isinstance(item, dict) for item in settings):
        settings = dict(enumerate(settings))
    if not isinstance(settings, dict):
        return {prefix: settings}
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat.update(flatten(value, f"{prefix}.{key}" if prefix else str(key)))
    return flat


def read_step(checkpoint: Path, accumulation: int = 1) -> tuple[int, int]:
    """How many processes wrote it, and how many batches each of them read for a step.

    Args:
        accumulation: for a checkpoint that does not say it, as they once did not.
    """
    file = checkpoint / STEP
    if file.is_file():
        processes, accumulation = read_numbers(file, "processes", "gradient_accumulation")
        return processes, accumulation
    # Each of several processes leaves its own random state.
    return len(list(checkpoint.glob("rng_state_*.pth"))) or 1, accumulation


def read_numbers(file: Path, *names: str) -> list[int]:
    """Raises ConfigError for a file that cannot be read or has no such numbers."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return [int(content[name]) for name in names]
    except OSError as error:
        raise ConfigError(f"{file} cannot be read ({error.strerror}).") from None
    except (ValueError, KeyError, TypeError):
        raise ConfigError(f"{file} is damaged; remove it to go on, or choose another --output.") from None
