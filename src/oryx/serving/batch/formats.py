"""The two formats of a batch's files, by how their names end."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from oryx.errors import ConfigError

Format = Literal["jsonl", "parquet"]
FORMATS: dict[str, Format] = {".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}


def format_of(path: Path, what: str) -> Format:
    """The format of a file that there may not be yet.

    Raises:
        ConfigError: another ending; or parquet, and pyarrow is not installed.
    """
    format_ = FORMATS.get(path.suffix.lower())
    if format_ is None:
        raise ConfigError(f"{what} {path} must end with {' or '.join(FORMATS)}.")
    if format_ == "parquet" and find_spec("pyarrow") is None:
        raise ConfigError(f'{what} {path} needs pyarrow, which pip install "oryx-mllm[data]" brings.')
    return format_


def parquet() -> tuple[Any, type[Exception]]:
    """`pyarrow.parquet` and the base of its errors, imported only where they are used."""
    import pyarrow
    import pyarrow.parquet

    return pyarrow.parquet, pyarrow.ArrowException
