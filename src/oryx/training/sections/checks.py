"""Checks that sections share; their errors name the key as YAML writes it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from oryx.errors import ConfigError
from oryx.fields import yaml_name

PARTS = ("vision_tower", "compressor", "projector", "language_model")
"""The parts of a model that a recipe trains or freezes, in the order in which data flows."""


def check_parts(parts: Sequence[str]) -> None:
    """Refuse a recipe's empty `train`."""
    if not parts:
        raise ConfigError(f"train is empty, so everything would be frozen; name some of {', '.join(PARTS)}.")


def at_least(section: Any, low: float, *names: str) -> None:
    for name in names:
        value = getattr(section, name)
        if value is not None and value < low:
            raise ConfigError(f"{yaml_name(name)} is {value:g}; it must be at least {low:g}.")


def check_finite(section: Any) -> None:
    """YAML's .nan and .inf are floats too, and no comparison refuses a nan."""
    for setting in dataclasses.fields(section):
        value = getattr(section, setting.name)
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{yaml_name(setting.name)} is {value:g}; it must be a finite number.")
