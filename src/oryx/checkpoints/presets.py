"""Configs of the published models, in the form of their `config.json`, for work without their weights."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from oryx.checkpoints.published import build_config
from oryx.config import OryxConfig, OryxVisionConfig
from oryx.errors import ConfigError
from oryx.json_file import read_json

_FOLDER = Path(str(files("oryx") / "assets" / "presets"))


def list_presets() -> list[str]:
    """Names that `preset_config` takes."""
    return sorted(file.stem for file in _FOLDER.glob("*.json"))


def preset_settings(name: str) -> dict[str, Any]:
    """The published `config.json` of `name`.

    Raises:
        ConfigError: no such preset.
    """
    if name not in list_presets():
        raise ConfigError(f"there is no preset {name!r}; allowed: {', '.join(list_presets())}.")
    return read_json(_FOLDER / f"{name}.json")


def preset_config(name: str) -> OryxConfig:
    """The native config of `name`, such as "oryx-7b", with the published tower.

    Raises:
        ConfigError: no such preset.
    """
    return build_config(preset_settings(name), OryxVisionConfig())
