"""What was once found out about large data, kept in the user's cache folder. All of it can be made again."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from oryx.files import staged

KEPT_FROM = 1000
"""Data of fewer records is looked at anew each time: that is as quick as reading it from here."""


def cache_folder() -> Path:
    """`data` in the user's cache folder for oryx."""
    from platformdirs import user_cache_path

    return user_cache_path("oryx", appauthor=False) / "data"


def read_arrays(name: str) -> dict[str, np.ndarray] | None:
    """The arrays kept under a name; None if there are none, or they are damaged."""
    try:
        with np.load(cache_folder() / f"{name}.npz", allow_pickle=False) as stored:
            return {key: stored[key] for key in stored.files}
    except (OSError, ValueError, KeyError, EOFError):
        return None
    except Exception as error:  # zipfile.BadZipFile and zlib.error have no common base
        if type(error).__module__ in ("zipfile", "zlib"):
            return None
        raise


def write_arrays(name: str, **arrays: Any) -> None:
    """Keep arrays under a name. A full or closed disk only means that they are made again next time."""
    folder = cache_folder()
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        with staged(folder / f"{name}.npz") as staging, staging.open("wb") as file:
            np.savez(file, **arrays)
