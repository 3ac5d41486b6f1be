"""Rows of both formats: their ids are checked first, and a broken line is a row with a problem."""

import hashlib
import os
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from oryx.errors import ConfigError
from oryx.serving.batch.inputs import Input


def read(path: Path, is_wanted=lambda index: True):
    return list(Input(path).rows(is_wanted))


def scan_error(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        Input(path).scan()
    return str(caught.value)


def test_rows_have_their_place_and_their_line(rows_file):
    path = rows_file(['\ufeff{"id": "a", "question": "x", "fps": null}', "", "  ", {"id": 7}])
    first, second = read(path)
    assert (first.index, first.line, first.id) == (0, 1, "a")
    assert first.content == {"id": "a", "question": "x"}  # null is as good as left out
    assert (second.index, second.line, second.id) == (1, 4, 7)


def test_the_last_line_needs_no_end(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_bytes(b'{"id": 1}\n{"id": 2}')
    assert [row.id for row in read(path)] == [1, 2]


def test_a_scan_hashes_the_whole_file(rows_file):
    path = rows_file([{"id": 1}, "", {"id": 2}])
    scan = Input(path).scan()
    assert scan.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (scan.num_rows, scan.has_number_ids) == (2, True)
    assert not Input(rows_file([{"id": 1}, {"id": "b"}])).scan().has_number_ids


def test_only_wanted_rows_are_read(rows_file):
    path = rows_file([{"id": index} for index in range(10)])
    assert [row.id for row in read(path, lambda index: index % 3 == 1)] == [1, 4, 7]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("not json", "Expecting value at character 1"),
        ('{"id": "a"', "delimiter at character 11"),
        ("[1, 2]", "no object"),
        ('{"id": "a", "x": NaN}', "a number of it is none"),
        ('{"id": "a", "x": ' + "9" * 5000 + "}", "a number of it is none"),
        ("[" * 100_000, "nested too deeply"),
        ('{"id": "a", "question": "\\ud800"}', "no UTF-8 text"),
    ],
)
def test_a_broken_line_is_a_row_with_a_problem(rows_file, line, problem):
    path = rows_file([{"id": 1}, line])
    assert Input(path).scan().num_rows == 2
    row = read(path)[1]
    assert row.content is None
    assert row.id is None
    assert row.index == 1
    assert row.problem.startswith("line 2 is no JSON object (")
    assert problem in row.problem


def test_bytes_that_are_no_text_are_a_broken_line(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_bytes(b'{"id": "\xff"}\n')
    assert "no UTF-8 text" in read(path)[0].problem


def test_missing_ids_are_told_with_their_lines(rows_file):
    rows = [
        {"id": "a"},
        {"question": "x"},
        {"id": None},
        {"id": ""},
        {"id": True},
        {"id": 1.5},
        {"id": 2**63},
    ]
    assert "lines without an id (a text or a whole number): 2, 3, 4, 5, 6, 7" in scan_error(rows_file(rows))


def test_repeated_ids_are_told_with_their_lines(rows_file):
    rows = [
        {"id": "a"},
        {"id": "b"},
        "",
        {"id": "a"},
        {"id": "c"},
        {"id": "b"},
        {"id": "a"},
        {"custom_id": "c"},
    ]
    message = scan_error(rows_file(rows))
    assert "'a' on lines 1, 4, 7; 'b' on lines 2, 6; 'c' on lines 5, 8" in message


def test_ids_that_read_the_same_are_the_same(rows_file):
    assert "1 on lines 1, 2" in scan_error(rows_file([{"id": 1}, {"id": "1"}]))


def test_a_long_list_of_wrong_ids_is_cut(rows_file):
    message = scan_error(rows_file([{}] * 15 + [{"id": index // 2} for index in range(30)]))
    assert "1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 5 more" in message
    assert message.endswith("9 on lines 34, 35 and 5 more.")


def test_no_rows_are_no_batch(rows_file):
    assert "holds no rows" in scan_error(rows_file(["", " "]))


@pytest.mark.parametrize(
    ("name", "message"),
    [("in.csv", "must end with .jsonl"), ("in.jsonl", "does not exist"), ("folder.jsonl", "is a folder")],
)
def test_no_such_input(tmp_path, name, message):
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(ConfigError, match=message):
        Input(tmp_path / name)


def test_an_input_that_changes_meanwhile_is_not_read_on(rows_file):
    path = rows_file([{"id": index, "question": "x" * 10_000} for index in range(20)])
    source = Input(path)
    source.scan()
    rows = source.rows(lambda index: True)
    next(rows)
    with path.open("ab") as file:
        file.write(b'{"id": "more"}\n')
    with pytest.raises(ConfigError, match="was changed while it was read"):
        list(rows)


def test_an_input_that_is_exchanged_after_the_scan_is_not_read(rows_file):
    path = rows_file([{"id": 1}])
    source = Input(path)
    source.scan()
    other = rows_file([{"id": 2}], "other.jsonl")
    os.replace(other, path)
    with pytest.raises(ConfigError, match="was changed"):
        next(source.rows(lambda index: True))


@pytest.fixture
def parquet_file(tmp_path):
    def write(rows):
        pyarrow.parquet.write_table(
            pyarrow.Table.from_pylist(rows), tmp_path / "in.parquet", row_group_size=100
        )
        return tmp_path / "in.parquet"

    return write


def test_parquet_rows_are_read_alike(parquet_file):
    part = {"type": "image", "image": "a.png", "compression": 4}
    rows = [
        {
            "id": index,
            "messages": [{"role": "user", "content": [part, {"type": "text", "text": f"{index}?"}]}],
        }
        for index in range(700)
    ]
    path = parquet_file(rows)
    scan = Input(path).scan()
    assert (scan.num_rows, scan.has_number_ids) == (700, True)
    assert scan.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    # A table has every key in every part; what is null there was never written.
    assert [row.content for row in read(path)] == rows
    assert [(row.index, row.line) for row in read(path, lambda index: index in (3, 256, 699))] == [
        (3, 4),
        (256, 257),
        (699, 700),
    ]


def test_numbers_of_a_table_are_as_they_were_meant(tmp_path):
    """A column of whole numbers with holes is one of floats to pandas, and a hole may be NaN."""
    from oryx.serving.batch.places import Places
    from oryx.serving.batch.requests import RowDefaults, read_row

    holes = pyarrow.array([None, 5.0], from_pandas=True)
    columns = {
        "id": pyarrow.array([1.0, 2.0]),
        "question": pyarrow.array(["a", "b"]),
        **dict.fromkeys(("max_tokens", "top_k", "seed", "max_frames", "max_pixels"), holes),
        "temperature": pyarrow.array([1.0, 0.5]),
        "fps": pyarrow.array([float("nan"), 0.5]),
        "compression": pyarrow.array([float("nan"), 4.0]),
    }
    path = tmp_path / "in.parquet"
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    assert Input(path).scan().has_number_ids
    first, second = read(path)
    assert first.content == {"id": 1, "question": "a", "temperature": 1}
    assert second.content["max_frames"] == 5
    assert isinstance(second.content["max_frames"], int)
    job, sampling = read_row(second, RowDefaults(Places(tmp_path)))
    assert (job.dials["max_frames"], job.dials["fps"], job.dials["compression"]) == (5, 0.5, 4)
    assert (sampling.max_tokens, sampling.top_k, sampling.seed, sampling.temperature) == (5, 5, 5, 0.5)
    assert read_row(first, RowDefaults(Places(tmp_path)))[1].temperature == 1.0


def test_parquet_ids_are_checked(parquet_file):
    rows = [{"id": "a", "x": 1}, {"id": None, "x": 2}, {"id": "a", "x": 3}]
    message = scan_error(parquet_file(rows))
    assert "rows without an id (a text or a whole number): 2" in message
    assert "'a' on rows 1, 3" in message
    assert "rows without an id (a text or a whole number): 1, 2" in scan_error(parquet_file([{"x": 1}] * 2))


def test_a_file_that_is_no_parquet_is_told(tmp_path):
    path = tmp_path / "in.parquet"
    path.write_bytes(b"PAR1 and nothing more")
    assert "cannot be read as parquet" in scan_error(path)
