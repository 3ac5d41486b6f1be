"""Tables of the `datasets` library: parquet files, its own folders, and data sets of the hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from oryx.data.sources.base import Source, file_identity, folder_identity
from oryx.data.sources.media import Opener
from oryx.data.sources.settings import SourceSettings
from oryx.data.sources.streams import Stream, reason
from oryx.errors import ConfigError

SAVED_FILES = ("dataset_info.json", "dataset_dict.json")
"""What `save_to_disk` leaves in a folder."""


class Table(Source):
    """Rows of a table on the disk, read at any place."""

    def __init__(self, settings: SourceSettings, table: Any, name: str, root: Path) -> None:
        super().__init__(settings)
        # Undecoded: media are opened by ourselves, when they are needed.
        self._table = table.with_format("arrow")
        self._name = name
        self._opener = Opener(Path(settings.media_root) if settings.media_root is not None else root)
        if not len(self):
            raise ConfigError(f"{name} holds no records.")

    def __len__(self) -> int:
        return len(self._table)

    def entry(self, index: int) -> tuple[Any, Opener]:
        return self._table[index].to_pylist()[0], self._opener

    def place(self, index: int) -> str:
        return f"{self._name} row {index}"

    def identity(self) -> Any:
        return [self._name, self._table._fingerprint, self._opener.place]


def open_parquet(settings: SourceSettings, files: list[Path]) -> Source:
    """Rows of parquet files, which `datasets` copies into its cache for reading at any place."""
    identity = [file_identity(file) for file in files]
    names = [str(file) for file in files]
    title = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
    arguments = {"path": "parquet", "data_files": names, "split": "train", "streaming": settings.streaming}
    return _open(settings, arguments, title, files[0].parent, identity)


def open_dataset(settings: SourceSettings, name: str) -> Source:
    """A data set that `datasets` saved, one of its folders of files, or one of the hub."""
    folder = Path(name)
    if folder.is_dir() and any((folder / file).is_file() for file in SAVED_FILES):
        return _open_saved(settings, folder)
    arguments = {
        "path": name,
        "name": settings.config,
        "split": settings.split,
        "revision": settings.revision,
        "streaming": settings.streaming,
    }
    if not folder.is_dir():
        return _open(settings, arguments, name, Path(), [arguments])
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    return _open(settings, arguments, name, folder, [arguments, folder_identity(folder, files)])


def _open(
    settings: SourceSettings, arguments: dict[str, Any], title: str, root: Path, identity: Any
) -> Source:
    datasets = _library()
    try:
        loaded = datasets.load_dataset(**arguments)
    except Exception as error:  # the library and the hub's client raise dozens of unrelated types
        raise ConfigError(f"{title} cannot be read as a data set ({reason(error)}).") from None
    if settings.streaming:
        return Stream(settings, loaded, title, root, identity)
    return Table(settings, loaded, title, root)


def _open_saved(settings: SourceSettings, folder: Path) -> Source:
    datasets = _library()
    try:
        loaded = datasets.load_from_disk(str(folder))
    except Exception as error:
        raise ConfigError(f"{folder} cannot be read as a saved data set ({reason(error)}).") from None
    if hasattr(loaded, "keys"):
        if settings.split not in loaded:
            raise ConfigError(f"{folder} has no split {settings.split!r}; it has {', '.join(loaded)}.")
        loaded = loaded[settings.split]
    if settings.streaming:
        return Stream(settings, loaded.to_iterable_dataset(), str(folder), folder, loaded._fingerprint)
    return Table(settings, loaded, str(folder), folder)


def _library() -> Any:
    try:
        import datasets
    except ImportError:
        raise ConfigError(
            "data of the formats datasets and parquet needs datasets; install oryx-mllm[data]."
        ) from None
    return datasets
