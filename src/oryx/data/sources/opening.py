"""From the settings of a source to the source: which files they mean, and in which format."""

from __future__ import annotations

import glob
import re
from collections.abc import Callable
from pathlib import Path

from oryx.data.sources.base import Joined, Source
from oryx.data.sources.folder import METADATA, media_kind, open_folder
from oryx.data.sources.llava import LlavaFile
from oryx.data.sources.settings import FORMATS, SourceSettings
from oryx.data.sources.shards import Shard
from oryx.data.sources.tables import SAVED_FILES, open_dataset, open_parquet
from oryx.errors import ConfigError
from oryx.media.views import natural_key

_ENDINGS = {
    ".json": "llava",
    ".jsonl": "llava",
    ".ndjson": "llava",
    ".parquet": "parquet",
    ".tar": "webdataset",
}
_ONE_FILE: dict[str, Callable[[SourceSettings, Path], Source]] = {
    "llava": LlavaFile,
    "patches": LlavaFile,
    "webdataset": Shard,
    "folder": open_folder,
}
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def open_source(settings: SourceSettings) -> Source:
    """The records that the settings name. Large ones are looked through once; media stay closed.

    Raises:
        ConfigError: no such file, a glob that matches nothing, an empty folder, or a file that is nothing of
            its format.
    """
    format_ = settings.format or guess_format(settings.path[0])
    if format_ == "datasets":
        parts = [open_dataset(settings, name) for path in settings.path for name in _expand(path)]
    else:
        files = [file for path in settings.path for file in _find_files(path, format_)]
        if format_ == "parquet":
            parts = [open_parquet(settings, files)]
        else:
            parts = [_ONE_FILE[format_](settings, file) for file in files]
    return Joined(settings, parts)


def guess_format(path: str) -> str:
    """The format that a path's ending, or what a folder holds, speaks for.

    Raises:
        ConfigError: nothing does, or nothing is there.
    """
    file = Path(_expand(path)[0])
    if file.is_dir():
        return _guess_folder(file)
    if file.suffix.lower() in _ENDINGS:
        return _ENDINGS[file.suffix.lower()]
    if not file.exists():
        hint = "; a data set of the hub needs format: datasets" if _HUB_ID.fullmatch(path) else ""
        raise ConfigError(f"{path} does not exist{hint}.")
    raise ConfigError(
        f"the format of {path} is not clear from its ending; set it to one of {', '.join(FORMATS)}."
    )


def _guess_folder(folder: Path) -> str:
    if any((folder / name).is_file() for name in SAVED_FILES):
        return "datasets"
    if (folder / METADATA).is_file():
        return "folder"
    names = [file.name for file in folder.iterdir() if file.is_file()]
    if any(media_kind(name) for name in names):
        return "folder"
    endings = {Path(name).suffix.lower() for name in names}
    return next((format_ for ending, format_ in _ENDINGS.items() if ending in endings), "folder")


def _is_glob(path: str) -> bool:
    return glob.has_magic(path) and not Path(path).exists()  # a file may be called a[1].json


def _expand(path: str) -> list[str]:
    """What a glob matches, in natural order; of any other path, itself."""
    if not _is_glob(path):
        return [path]
    matches = glob.glob(path, recursive=True)
    if not matches:
        raise ConfigError(f"{path} matches no file.")
    return sorted(matches, key=lambda match: (str(Path(match).parent), natural_key(Path(match))))


def _find_files(path: str, format_: str) -> list[Path]:
    """Files (of format folder: folders) of a path, in natural order."""
    if _is_glob(path):
        return [Path(match) for match in _expand(path)]
    file = Path(path)
    if not file.exists():
        raise ConfigError(f"{path} does not exist.")
    if format_ == "folder" and not file.is_dir():
        raise ConfigError(f"{path} is a file; the format folder needs a folder of media.")
    if file.is_dir() and format_ != "folder":
        endings = [
            ending
            for ending, meant in _ENDINGS.items()
            if meant == ("llava" if format_ == "patches" else format_)
        ]
        found = [inner for inner in file.iterdir() if inner.suffix.lower() in endings and inner.is_file()]
        if not found:
            raise ConfigError(f"the folder {path} holds no file that ends in {' or '.join(endings)}.")
        return sorted(found, key=natural_key)
    return [file]
