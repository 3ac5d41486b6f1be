"""The journal to the output: all rows in the order of the input, whole or not at all."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from oryx.files import staged
from oryx.serving.batch.formats import format_of, parquet
from oryx.serving.batch.journal import Journal, disk_error, sync_folder

PART = "output.part"
_PARQUET_ROWS = 4096


def write_outputs(out: Path, journal: Journal, rows: Sequence[int], has_number_ids: bool) -> None:
    """Write the output; one that is there is replaced once the new one is whole and on the disk.

    Args:
        rows: that go into it, in this order; all are done.
        has_number_ids: of a parquet file, the column of ids holds whole numbers, else texts.

    Raises:
        OryxError: the disk refuses.
    """
    write = _write_jsonl if format_of(out, "the output") == "jsonl" else _write_parquet
    try:
        # A run that is killed here leaves a part of the file, which the next one writes over.
        with staged(out, journal.folder / PART) as path:
            write(path, journal.outputs(rows), has_number_ids)
            with path.open("rb") as file:
                os.fsync(file.fileno())
        sync_folder(out.parent)
    except OSError as error:
        raise disk_error(out, error) from None


def _write_jsonl(path: Path, outputs: Iterable[dict[str, Any]], _: bool) -> None:
    with path.open("wb") as file:
        for output in outputs:
            file.write(json.dumps(output, ensure_ascii=False).encode() + b"\n")


def _write_parquet(path: Path, outputs: Iterable[dict[str, Any]], has_number_ids: bool) -> None:
    import pyarrow

    counts = ("prompt_tokens", "visual_tokens", "completion_tokens")
    schema = pyarrow.schema(
        {
            "id": pyarrow.int64() if has_number_ids else pyarrow.string(),
            "answer": pyarrow.string(),
            "finish_reason": pyarrow.string(),
            "usage": pyarrow.struct([(name, pyarrow.int64()) for name in counts]),
            "error": pyarrow.string(),
        }
    )
    module, _ = parquet()
    with module.ParquetWriter(path, schema) as writer:
        for rows in _batches(outputs, _PARQUET_ROWS):
            if not has_number_ids:
                rows = [{**row, "id": None if row["id"] is None else str(row["id"])} for row in rows]
            writer.write_table(pyarrow.Table.from_pylist(rows, schema=schema))


def _batches(rows: Iterable[Any], size: int) -> Iterator[list[Any]]:
    iterator = iter(rows)
    while batch := list(itertools.islice(iterator, size)):
        yield batch
