"""Haystacks on disk: the needle is where the record says, and nothing half done is left."""

import io
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from factories import make_processor
from PIL import Image

from oryx.data.builders import frame_store
from oryx.data.builders.haystack.needles import Needle, drawn_needles
from oryx.data.builders.haystack.sources import open_haystack
from oryx.data.builders.haystack.write import write_haystacks
from oryx.data.sources.opening import open_source
from oryx.data.sources.settings import SourceSettings
from oryx.errors import ConfigError, MediaError, OryxError


def write(out, stack=None, lengths=(5, 8), depths=(0.0, 50.0, 100.0), trials=2, **options):
    stack = stack or open_haystack("drawn", 0, 32, 32)
    return write_haystacks(out, stack, drawn_needles(0, 32, 32), lengths, depths, trials, **options)


def colored(picture):
    pixels = np.asarray(picture.convert("RGB"), int)
    return bool((pixels.max(axis=2) - pixels.min(axis=2)).max() > 100)


def read_patch(video, folder):
    content = (folder / video["patch"]).read_bytes()
    starts = np.cumsum([video["start_num"], *video["size"]])
    return [Image.open(io.BytesIO(content[a:b])) for a, b in itertools.pairwise(starts)]


def test_each_video_has_one_needle_where_it_is_said_to_be(stand_in, tmp_path):
    made = write(tmp_path / "out")
    lines = (tmp_path / "out/haystacks.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == made
    assert len(made) == 2 * 3 * 2
    for record in made:
        frames = read_patch(record["visuals"][0]["video"], tmp_path / "out")
        assert len(frames) == record["num_frames"]
        assert [index for index, frame in enumerate(frames) if colored(frame)] == [record["frame"]]
        human, gpt = record["conversations"]
        assert human["value"] == "<image>\nWhat color is the square?"
        assert gpt["value"] in stand_in.COLORS
    assert [record["frame"] for record in made[:6]] == [0, 0, 2, 2, 4, 4]


def test_folders_of_pictures(stand_in, tmp_path, graded):
    made = write(tmp_path / "out", lengths=(5,), layout="folder")
    files = sorted((tmp_path / "out" / made[0]["visuals"][0]["video"]).iterdir())
    assert [file.name for file in files] == [f"{number:06d}.png" for number in range(5)]
    stack = open_haystack(str(graded()), 0, 0, 0)
    made = write(tmp_path / "video", stack, lengths=(5,), layout="folder")
    assert len(list((tmp_path / "video" / made[0]["visuals"][0]["video"]).glob("*.jpg"))) == 5


@pytest.mark.parametrize("layout", ["patch", "folder"])
def test_a_source_of_training_data_reads_them_with_all_frames(stand_in, tmp_path, layout):
    made = write(tmp_path / "out", lengths=(70,), depths=(50.0,), trials=1, layout=layout)
    source = open_source(SourceSettings(path=str(tmp_path / "out/haystacks.jsonl")))
    (visual,) = source.read(0).opened()
    processor = make_processor()
    assert len(processor.encode_sample(made[0]["conversations"], [visual], None).grids) == 70


def test_nothing_is_overwritten(stand_in, tmp_path):
    write(tmp_path / "out", lengths=(3,), depths=(0.0,))
    with pytest.raises(ConfigError, match="is there already"):
        write(tmp_path / "out")
    (tmp_path / "empty").mkdir()
    write(tmp_path / "empty", lengths=(3,), depths=(0.0,))


def test_the_folder_where_one_stands_is_filled(stand_in, tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path / "out")
    write(Path(), lengths=(3,), depths=(0.0,))
    assert sorted(path.name for path in Path().iterdir()) == ["haystacks.jsonl", "patches"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_too_few_frames_are_said_before_anything_is_written(stand_in, tmp_path, graded):
    stack = open_haystack(str(graded()), 0, 0, 0)
    with pytest.raises(MediaError, match="41 are needed"):
        write(tmp_path / "out", stack, lengths=(5, 42))
    assert not (tmp_path / "out").exists()


def test_a_full_disk_leaves_nothing(stand_in, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(frame_store.PatchStore, "write", full)
    with pytest.raises(OryxError, match="No space left on device"):
        write(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [{"layout": "zip"}, {"trials": 0}], ids=str)
def test_options_that_cannot_be(tmp_path, options):
    with pytest.raises(ConfigError):
        write(tmp_path / "out", **options)


def test_half_a_character_in_an_answer(tmp_path):
    needles = lambda number: Needle(Image.new("RGB", (32, 32)), "What?", "a \ud83d")  # noqa: E731
    (record,) = write_haystacks(tmp_path / "out", open_haystack("drawn", 0, 32, 32), needles, [3], [0.0], 1)
    assert json.loads((tmp_path / "out" / "haystacks.jsonl").read_text()) == record
