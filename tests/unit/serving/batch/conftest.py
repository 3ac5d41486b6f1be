import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def rows_file(tmp_path: Path) -> Callable[..., Path]:
    """(rows, name) -> path of a JSONL file; a row is an object, or a line as it is."""

    def write(rows: list[Any], name: str = "in.jsonl") -> Path:
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        (tmp_path / name).write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        return tmp_path / name

    return write
