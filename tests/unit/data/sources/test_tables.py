"""Parquet, `datasets` and their streams give the records of the same LLaVA file."""

import json
import pickle

import pytest
from made_records import png, turns
from torch.utils.data import DataLoader, Dataset

from oryx.data.sources import streams
from oryx.data.sources.opening import open_source
from oryx.data.sources.settings import SourceSettings
from oryx.errors import ConfigError


@pytest.fixture
def rows():
    """As `datasets` stores pictures: bytes and a path, one of them None."""
    rows = []
    for n in range(9):
        parts = [{"type": "image", "text": None}] * (n % 3)
        messages = [
            {"role": "user", "content": [*parts, {"type": "text", "text": f"Q {n}"}]},
            {"role": "assistant", "content": [{"type": "text", "text": f"A {n}"}]},
        ]
        images = [{"bytes": png(n + i), "path": None} for i in range(n % 3)]
        rows.append({"images": images, "messages": messages})
    return rows


@pytest.fixture
def expected(tmp_path, rows, records, encoded):
    """The samples of the same records from a LLaVA file."""
    entries = []
    for n, row in enumerate(rows):
        names = []
        for i, picture in enumerate(row["images"]):
            names.append(f"plain_{n}_{i}.png")
            (tmp_path / names[-1]).write_bytes(picture["bytes"])
        entries.append({"conversations": turns("<image>" * len(names) + f"Q {n}", f"A {n}"), "image": names})
    (tmp_path / "plain.json").write_text(json.dumps(entries))
    return [encoded(record) for record in records(tmp_path / "plain.json")]


@pytest.fixture
def table(datasets, rows):
    part = {"type": datasets.Value("string"), "text": datasets.Value("string")}
    features = datasets.Features(
        {
            "images": [datasets.Image()],
            "messages": [{"role": datasets.Value("string"), "content": [part]}],
        }
    )
    return datasets.Dataset.from_list(rows, features=features)


@pytest.fixture
def parquet(tmp_path, table):
    """Two files, in small groups of rows."""
    table.select(range(5)).to_parquet(tmp_path / "part0.parquet", batch_size=2)
    table.select(range(5, 9)).to_parquet(tmp_path / "part1.parquet", batch_size=2)
    return str(tmp_path / "*.parquet")


def test_parquet_files(parquet, records, encoded, expected):
    found = records(parquet)
    assert [encoded(record) for record in found] == expected
    assert found[7].place.endswith("part0.parquet and 1 more row 7")


def test_saved_folders(tmp_path, table, datasets, records, encoded, expected):
    table.save_to_disk(tmp_path / "saved")
    assert [encoded(record) for record in records(tmp_path / "saved")] == expected
    datasets.DatasetDict({"train": table.select([0]), "other": table}).save_to_disk(tmp_path / "splits")
    found = records(tmp_path / "splits", split="other")
    assert [encoded(record) for record in found] == expected
    assert len(records(tmp_path / "splits")) == 1
    with pytest.raises(ConfigError, match="has no split 'test'; it has train, other"):
        records(tmp_path / "splits", split="test")
    streamed = records(tmp_path / "saved", streaming=True, format="datasets")
    assert [encoded(record) for record in streamed] == expected


def test_a_glob_may_name_saved_folders(tmp_path, table, records, encoded, expected):
    for name, rows in (("saved10", range(4, 9)), ("saved9", range(4))):
        table.select(rows).save_to_disk(tmp_path / name)
    assert [encoded(record) for record in records(tmp_path / "saved*")] == expected


def test_media_of_tables_may_be_paths(tmp_path, datasets, records):
    row = {"image": {"bytes": None, "path": "a.png"}, "caption": "A."}
    datasets.Dataset.from_list([row]).save_to_disk(tmp_path / "saved")
    (record,) = records(tmp_path / "saved", media_root="/media")
    assert record.visuals == [{"type": "image", "image": "/media/a.png"}]


def test_what_is_no_table_is_one_sentence(tmp_path, datasets):
    (tmp_path / "a.parquet").write_bytes(b"nothing")
    with pytest.raises(ConfigError, match=r"a.parquet cannot be read as a data set"):
        open_source(SourceSettings(path=str(tmp_path / "a.parquet")))
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "dataset_info.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"saved cannot be read as a saved data set"):
        open_source(SourceSettings(path=str(tmp_path / "saved")))


def test_a_missing_library_names_the_extra(parquet, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(ConfigError, match=r"needs datasets; install oryx-mllm\[data\]"):
        open_source(SourceSettings(path=parquet))


# -- streams -------------------------------------------------------------------------------------------


@pytest.fixture
def stream(parquet, monkeypatch):
    """The same rows as a stream of chunks of two, of which two are kept."""
    monkeypatch.setattr(streams, "CHUNK", 2)
    monkeypatch.setattr(streams, "NEAR", 2)
    return SourceSettings(path=parquet, format="parquet", streaming=True)


@pytest.mark.parametrize("order", [range(9), [8, 0, 5, 4, 1, 7, 2, 6, 3], [3, 3, 2, 8]])
def test_a_stream_is_read_at_any_place(stream, encoded, expected, order):
    source = open_source(stream)
    assert len(source) == 9
    assert source.window == 2
    assert [encoded(source.read(index)) for index in order] == [expected[index] for index in order]


def test_a_stream_goes_on_in_another_process(stream, encoded, expected):
    source = open_source(stream)
    source.read(5)
    copy = pickle.loads(pickle.dumps(source))
    assert [encoded(copy.read(index)) for index in (6, 1)] == [expected[6], expected[1]]


def test_every_worker_reads_the_whole_stream(stream):
    """`datasets` would share its rows out to the workers."""
    source = open_source(stream)
    source.read(8)  # a reader is open already
    loader = DataLoader(Questions(source), batch_size=None, num_workers=2)
    assert list(loader) == [source.read(index).conversations[0]["value"] for index in range(9)]


class Questions(Dataset):
    """The first turns of a source."""

    def __init__(self, source):
        self.source = source

    def __len__(self):
        return len(self.source)

    def __getitem__(self, index):
        return self.source.read(index).conversations[0]["value"]


def test_positions_of_a_stream_are_kept(stream, encoded, expected, monkeypatch, cache):
    monkeypatch.setattr(streams, "KEPT_FROM", 1)
    open_source(stream)
    assert len(list(cache.glob("stream-*.json"))) == 1
    monkeypatch.setattr("datasets.IterableDataset.state_dict", None)
    again = open_source(stream)
    assert [encoded(again.read(index)) for index in (7, 0)] == [expected[7], expected[0]]


def test_the_limit_of_a_stream_is_its_end(stream):
    from dataclasses import replace

    source = open_source(replace(stream, path=list(stream.path), limit=3))
    assert len(source) == 3
    assert source.read(2).conversations == turns("<image><image>Q 2", "A 2")


def test_a_stream_that_became_shorter_is_told(stream, table, tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "KEPT_FROM", 1)
    monkeypatch.setattr("oryx.data.sources.tables.file_identity", str)  # nobody sees that it changed
    open_source(stream)
    table.select(range(5, 7)).to_parquet(tmp_path / "part1.parquet", batch_size=2)
    source = open_source(stream)
    assert source.read(5).conversations[1]["value"] == "A 5"
    with pytest.raises(ConfigError, match="row 7: the stream ends earlier than when it was first read"):
        source.read(7)


def test_a_changed_file_of_a_streamed_folder_is_seen(tmp_path, table):
    (tmp_path / "rows").mkdir()
    settings = SourceSettings(path=str(tmp_path / "rows"), format="datasets", streaming=True)
    table.to_parquet(tmp_path / "rows" / "a.parquet")
    first = open_source(settings).fingerprint()
    assert open_source(settings).fingerprint() == first
    table.select(range(5)).to_parquet(tmp_path / "rows" / "a.parquet")
    assert open_source(settings).fingerprint() != first
