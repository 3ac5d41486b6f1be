"""Where lmms-eval's benchmarks keep their videos: under `HF_HOME`, in a folder for each."""

from __future__ import annotations

import os
from pathlib import Path

SUFFIXES = (".mp4", ".MP4", ".mkv", ".webm", ".avi", ".mov")


def video_folder(*parts: str) -> Path:
    """A folder under `HF_HOME` (by default `~/.cache/huggingface`)."""
    home = os.environ.get("HF_HOME") or "~/.cache/huggingface"
    return Path(home).expanduser().joinpath(*parts)


def find_video(folder: Path, name: str) -> str:
    """The video of that name with any of `SUFFIXES`; the first of them where there is none."""
    if Path(name).suffix in SUFFIXES:
        return str(folder / name)
    paths = [folder / f"{name}{suffix}" for suffix in SUFFIXES]
    return str(next((path for path in paths if path.exists()), paths[0]))
