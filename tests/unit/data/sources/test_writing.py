"""Packing: the published form, whole or not at all."""

import errno
import json
import tarfile
from datetime import date
from pathlib import Path

import pytest
from made_records import png, turns

from oryx.data.sources.contents import read_media
from oryx.data.sources.opening import open_source
from oryx.data.sources.record import Record
from oryx.data.sources.settings import SourceSettings
from oryx.data.sources.writing import PACK_FORMATS, pack_source
from oryx.errors import ConfigError, OryxError
from oryx.media.video import open_clip


@pytest.fixture
def source(tmp_path):
    """Three records; the second names a picture that is not there."""
    entries = [
        {"conversations": turns("<image>A"), "image": name, "id": name}
        for name in ("0.png", "no.png", "1.png")
    ]
    for number in range(2):
        (tmp_path / f"{number}.png").write_bytes(png(number))
    (tmp_path / "data.json").write_text(json.dumps(entries))
    return open_source(SourceSettings(path=str(tmp_path / "data.json")))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_patch_files_are_the_published_ones(source, tmp_path):
    report = pack_source(source, tmp_path / "packed", "patches", skip_broken=True)
    assert names(tmp_path / "packed") == ["patch_00000", "records.jsonl"] == report.files
    lines = [json.loads(line) for line in (tmp_path / "packed" / "records.jsonl").read_text().splitlines()]
    first, second = png(0), png(1)
    assert lines == [
        {"id": "0.png", "conversations": turns("<image>A"),
         "image": {"patch": "patch_00000", "start_num": 0, "size": len(first)}},
        {"id": "1.png", "conversations": turns("<image>A"),
         "image": {"patch": "patch_00000", "start_num": len(first), "size": len(second)}},
    ]  # fmt: skip
    assert (tmp_path / "packed" / "patch_00000").read_bytes() == first + second
    assert (report.num_records, report.num_bytes) == (2, len(first) + len(second))
    assert len(report.skipped) == 1
    assert report.skipped[0].startswith(
        f"{tmp_path / 'data.json'} record 1: '{tmp_path / 'no.png'}' does not exist"
    )


def test_shards_hold_a_json_and_media_for_each_key(source, tmp_path):
    pack_source(source, tmp_path / "packed", "webdataset", shard_bytes=1, skip_broken=True)
    assert names(tmp_path / "packed") == ["000000.tar", "000001.tar"]
    with tarfile.open(tmp_path / "packed" / "000001.tar") as archive:
        assert archive.getnames() == ["00000001.json", "00000001.0.png"]
        assert archive.extractfile("00000001.0.png").read() == png(1)


@pytest.mark.parametrize("format_", PACK_FORMATS)
def test_what_else_a_record_says_is_kept(tmp_path, records, format_):
    said = {"answers": ["a", "b"], "scene": {"objects": [3]}, "depth": 0.5}
    lost = {"note": "\ud83d"}  # half a character, which no file of UTF-8 holds
    needle = {"video_long": ["0.png"], "idx": [0], "type": "caption", "question": "<idx>?", "answer": "It."}
    entries = [{"conversations": turns(answer=None), **said, **lost}, {**needle, **said}]
    (tmp_path / "0.png").write_bytes(png(0))
    (tmp_path / "data.json").write_text(json.dumps(entries))
    pack_source(open_source(SourceSettings(path=str(tmp_path / "data.json"))), tmp_path / "packed", format_)
    assert [record.beside for record in records(tmp_path / "packed")] == [said, said]


def test_what_json_cannot_say_is_left_out():
    record = Record("here", [], turns(), beside={"when": date(2026, 1, 1), "raw": b"x", "depth": 0.5})
    assert read_media(record) == {"conversations": turns(), "depth": 0.5}


def test_the_folder_where_one_stands_is_filled(source, tmp_path, monkeypatch):
    (tmp_path / "packed").mkdir()
    monkeypatch.chdir(tmp_path / "packed")
    pack_source(source, Path(), "patches", skip_broken=True)
    assert names(Path()) == names(tmp_path / "packed") == ["patch_00000", "records.jsonl"]


def test_a_full_file_is_followed_by_another(source, tmp_path):
    pack_source(source, tmp_path / "packed", "patches", shard_bytes=1, skip_broken=True)
    assert names(tmp_path / "packed") == ["patch_00000", "patch_00001", "records.jsonl"]
    assert (tmp_path / "packed" / "patch_00001").read_bytes() == png(1)


def test_a_broken_record_stops_and_leaves_nothing(source, tmp_path):
    before = names(tmp_path)
    with pytest.raises(OryxError, match="record 1: "):
        pack_source(source, tmp_path / "packed", "patches")
    assert names(tmp_path) == before


def test_a_full_disk_is_one_sentence_and_leaves_nothing(source, tmp_path, monkeypatch):
    before = names(tmp_path)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("oryx.data.sources.writing._Patches.write", full)
    with pytest.raises(OryxError, match=r"packed cannot be written \(No space left on device\)"):
        pack_source(source, tmp_path / "packed", "patches")
    assert names(tmp_path) == before


def test_what_is_there_is_kept(source, tmp_path):
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed" / "mine").write_text("x")
    with pytest.raises(ConfigError, match="packed exists already; choose another folder"):
        pack_source(source, tmp_path / "packed", "patches", skip_broken=True)
    with pytest.raises(ConfigError, match="the format 'zip' is not written; allowed: patches, webdataset"):
        pack_source(source, tmp_path / "other", "zip")
    assert (tmp_path / "packed" / "mine").read_text() == "x"


def test_broken_records_alone_make_no_data_set(tmp_path):
    (tmp_path / "data.json").write_text("[{}]")
    source = open_source(SourceSettings(path=str(tmp_path / "data.json")))
    with pytest.raises(ConfigError, match="has no record that can be packed"):
        pack_source(source, tmp_path / "packed", "patches", skip_broken=True)
    assert not (tmp_path / "packed").exists()


def test_values_that_json_does_not_know(tmp_path):
    """Tables know dates and bytes: what is beside a record goes, and a turn of them is a broken record."""
    extra = [{**turn, "at": date(2024, 1, 1)} for turn in turns()]
    record = Record("a", [], extra, id=date(2024, 1, 1))
    assert read_media(record) == {"conversations": turns()}
    with pytest.raises(OryxError, match="a turn of its conversation holds no text"):
        read_media(Record("a", [], turns(answer=b"It.")))


@pytest.mark.parametrize("format_", PACK_FORMATS)
def test_a_focus_is_on_the_same_frames_as_in_the_folder(tmp_path, records, format_):
    (tmp_path / "clip").mkdir()
    for number in range(40):
        (tmp_path / "clip" / f"{number:02}.png").write_bytes(png(number, 32, 32))
    visual = {"type": "video", "video": "clip", "max_frames": 8, "focus": "30-38", "compression": 16}
    (tmp_path / "a.json").write_text(json.dumps([{"conversations": turns("<image>A"), "visuals": [visual]}]))
    pack_source(open_source(SourceSettings(path=str(tmp_path / "a.json"))), tmp_path / "packed", format_)
    (packed,) = records(tmp_path / "packed")
    (opened,) = packed.opened()
    assert len(opened["video"]) == 8
    assert [opened["video"].index(png(number, 32, 32)) for number in (30, 38)] == [3, 6]
    assert opened["focus"] == "3,4,5,6"
    clip = open_clip(tmp_path / "clip", 8, focus="30-38")
    assert opened["video"] == [png(number, 32, 32) for number in clip.indices]
