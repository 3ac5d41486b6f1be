"""The output folder of a run of `oryx data needle`.

settings.json       what was asked for: another run's folder is refused
log.jsonl           everything that happened, from which the run goes on
patches/, frames/   the clips' frames
needle.json         the records, as the published reader takes them
summary.json        the report
contact_sheet.png   some records to look at
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from oryx.data.builders.needle.log import disk_error
from oryx.data.builders.needle.settings import FREE_SETTINGS
from oryx.errors import ConfigError
from oryx.files import make_folder, write_whole

SETTINGS, LOG, RECORDS = "settings.json", "log.jsonl", "needle.json"
SUMMARY, SHEET = "summary.json", "contact_sheet.png"


def open_folder(path: Path, settings: Mapping[str, Any]) -> None:
    """Make the folder, or take up the run in it.

    Raises:
        ConfigError: it is a file, holds something else or a run with other settings, or cannot be written.
    """
    saved = path / SETTINGS
    if saved.is_file():
        _check_same(saved, settings)
    elif path.is_dir() and any(not entry.name.startswith(".") for entry in path.iterdir()):
        raise ConfigError(f"the output {path} is not empty and holds no run; choose another output.")
    make_folder(path)
    write_file(saved, json.dumps(settings, indent=1).encode() + b"\n")


def write_file(path: Path, content: bytes) -> None:
    """Write a file whole or not at all. Raises OryxError where the disk refuses."""
    try:
        write_whole(path, content)
    except OSError as error:
        raise disk_error(path, error) from None


def _check_same(saved: Path, settings: Mapping[str, Any]) -> None:
    try:
        then = json.loads(saved.read_text(encoding="utf-8"))
        known = dict(then)
    except (OSError, ValueError, TypeError):
        raise ConfigError(f"{saved} cannot be read as settings; choose another output.") from None
    for key in sorted({*known, *settings} - set(FREE_SETTINGS)):
        if known.get(key) != settings.get(key):
            raise ConfigError(
                f"the output {saved.parent} holds a run with other settings ({key} is {known.get(key)!r} "
                f"there and {settings.get(key)!r} here); choose another output."
            )
