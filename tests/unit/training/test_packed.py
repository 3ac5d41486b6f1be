"""Packed data train to the same batches as the originals."""

import json
import shutil

import pytest
from made_records import assert_same_batch, png, turns

from oryx.data.sources.opening import open_source
from oryx.data.sources.settings import SourceSettings
from oryx.data.sources.writing import pack_source
from oryx.training.data import make_batches
from oryx.training.recipe import load_recipe


@pytest.fixture
def original(tmp_path, video):
    """A file of records of every kind, their media beside it."""
    for number in range(6):
        (tmp_path / f"{number}.png").write_bytes(png(number, 20 + number, 30))
    (tmp_path / "frames").mkdir()
    for number in range(12):
        (tmp_path / "frames" / f"{number}.png").write_bytes(png(50 + number, 16, 16))
    video("clip.mp4")
    (tmp_path / "clip.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nHello.\n")
    stored = [png(70 + number, 16, 16) for number in range(10)]
    (tmp_path / "patch_7").write_bytes(b"".join(stored))
    patch = {"patch": "patch_7", "start_num": 0, "size": [len(frame) for frame in stored]}
    needle = {"type": "caption", "question": "In <idx>?", "answer": "It.", "idx": [3]}
    mark = {"view": 0, "y": 0.5, "x": 0.5, "text": "a"}
    visuals = [
        {"type": "views", "views": ["0.png", "1.png"], "compression": 4},
        {"type": "image", "image": "2.png", "detail": "low", "marks": [mark]},
        {"type": "video", "video": "clip.mp4", "subtitles": True, "max_frames": 3},
        {"type": "video", "video": "frames", "max_frames": 5},
        {"type": "video", "video": ["3.png", "4.png"], "fps": 1, "timestamps": True},
    ]
    entries = [
        {"conversations": turns("Only text."), "id": "t"},
        {"conversations": turns("<image>A"), "image": "0.png"},
        {"conversations": turns("<image><image>A"), "image": ["1.png", "5.png"]},
        {"conversations": turns("<image>A"), "video": "clip.mp4"},
        {"conversations": turns("<image>A"), "video": patch},
        *({"conversations": turns("<image>A"), "visuals": [visual]} for visual in visuals),
        {**needle, "video_long": patch},
        {**needle, "video_long": "frames"},
        {**needle, "video_long": "clip.mp4"},
    ]
    (tmp_path / "data.json").write_text(json.dumps(entries))
    return tmp_path / "data.json"


@pytest.mark.parametrize("format_", ["patches", "webdataset"])
def test_packed_data_give_the_same_batches(original, recipe_file, processor, tmp_path, format_):
    packed = tmp_path / "elsewhere" / "packed"
    packed.parent.mkdir()
    report = pack_source(open_source(SourceSettings(path=str(original))), packed, format_, shard_bytes=20000)
    assert report.num_records == 13
    assert len(report.files) > 2
    assert sorted(path.name for path in packed.parent.iterdir()) == ["packed"]

    def batches(path):
        source = {"path": str(path), "needle_frames": [4, 5]}
        more = ["data.synthetic=null", f"data.sources={json.dumps([source])}", "batch.row_length=8192"]
        return make_batches(load_recipe(recipe_file, more), processor)

    before = batches(original)
    expected = [before[number] for number in range(before.num_batches(2))]
    for path in (*tmp_path.glob("*.png"), tmp_path / "frames", tmp_path / "clip.mp4", tmp_path / "patch_7"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    after = batches(packed / ("records.jsonl" if format_ == "patches" else ""))
    assert after.num_batches(2) == len(expected)
    for number, batch in enumerate(expected):
        assert_same_batch(after[number], batch, names=False)
        assert not after[number]["stats"].broken
