"""Outputs: in the order of the input, and never half there."""

import json

import pyarrow.parquet
import pytest

from oryx.errors import OryxError
from oryx.serving.batch import outputs
from oryx.serving.batch.journal import Journal

USAGE = {"prompt_tokens": 3, "visual_tokens": 2, "completion_tokens": 1}


def journal_of(out, rows):
    journal = Journal(out, len(rows), 0.0)
    journal.open({})
    for index, row in reversed(list(enumerate(rows))):  # done in another order
        journal.append(index, row)
    return journal


ROWS = [
    {"id": "ä", "answer": "zwölf\n", "finish_reason": "stop", "usage": USAGE},
    {"id": None, "error": "line 2 is no JSON object."},
    {"id": 3, "answer": "", "finish_reason": "length", "usage": USAGE},
]


def test_jsonl_holds_each_row_in_order(tmp_path):
    out = tmp_path / "out.jsonl"
    journal = journal_of(out, ROWS)
    outputs.write_outputs(out, journal, range(3), False)
    assert [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()] == ROWS
    assert "zwölf" in out.read_text(encoding="utf-8")
    outputs.write_outputs(out, journal, range(0, 3, 2), False)
    assert [json.loads(line)["id"] for line in out.read_text(encoding="utf-8").splitlines()] == ["ä", 3]
    assert sorted(path.name for path in journal.folder.iterdir()) == [".lock", "answers.jsonl", "head.json"]


@pytest.mark.parametrize("are_numbers", [False, True])
def test_parquet_has_the_same_columns(tmp_path, are_numbers):
    out = tmp_path / "out.parquet"
    rows = [{**row, "id": index} if are_numbers else row for index, row in enumerate(ROWS)]
    outputs.write_outputs(out, journal_of(out, rows), range(3), are_numbers)
    table = pyarrow.parquet.read_table(out)
    assert table.schema.names == ["id", "answer", "finish_reason", "usage", "error"]
    assert table["id"].to_pylist() == ([0, 1, 2] if are_numbers else ["ä", None, "3"])
    assert table["usage"].to_pylist() == [USAGE, None, USAGE]
    assert table["error"].to_pylist() == [None, "line 2 is no JSON object.", None]
    assert table["answer"].to_pylist() == ["zwölf\n", None, ""]


def test_an_empty_shard_is_an_empty_output(tmp_path):
    for name in ("out.jsonl", "out.parquet"):
        outputs.write_outputs(tmp_path / name, journal_of(tmp_path / name, []), range(0), False)
    assert (tmp_path / "out.jsonl").read_bytes() == b""
    assert pyarrow.parquet.read_table(tmp_path / "out.parquet").num_rows == 0


def test_a_disk_that_refuses_leaves_the_output_as_it_was(tmp_path, monkeypatch):
    out = tmp_path / "out.jsonl"
    journal = journal_of(out, ROWS)
    out.write_text("before")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(outputs.os, "fsync", full)
    with pytest.raises(
        OryxError, match=r"cannot be written \(No space left on device\); what is answered is kept"
    ):
        outputs.write_outputs(out, journal, range(3), False)
    assert out.read_text() == "before"
    assert not (journal.folder / outputs.PART).exists()
