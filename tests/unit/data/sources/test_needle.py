"""Needle records: the frames that are asked about stand where the question says, in every pass elsewhere."""

import io
import json

import numpy as np
import pytest
from factories import RULE, make_processor
from PIL import Image

from oryx.data.sources.measuring import measure
from oryx.data.sources.needle import long_video_prompt
from oryx.errors import OryxError
from oryx.media.image import open_image
from oryx.media.video import read_frames


def grey(value):
    """A picture file of one grey, which tells its number."""
    buffer = io.BytesIO()
    Image.new("RGB", (32, 24), (value, value, value)).save(buffer, "PNG")
    return buffer.getvalue()


def values(frames):
    return [int(np.asarray(open_image(frame))[0, 0, 0]) for frame in frames]


@pytest.fixture
def make(tmp_path, records):
    """(num_frames, task, idx, ...) -> the one record of a file."""

    def write(num_frames=40, task="caption", idx=(7,), bounds=(10, 20), **change):
        frames = [grey(number) for number in range(num_frames)]
        (tmp_path / "patch_00000").write_bytes(b"".join(frames))
        video = {"patch": "patch_00000", "start_num": 0, "size": [len(frame) for frame in frames]}
        question = {"caption": "What is in frame <idx>?", "diff": "From <idx1> to <idx2>?"}.get(task, "x")
        entry = {"video_long": video, "idx": list(idx), "type": task, "question": question, "answer": "It."}
        (tmp_path / "data.json").write_text(json.dumps([{**entry, **change}]))
        return records(tmp_path / "data.json", needle_frames=bounds)[0]

    return write


def test_the_prompt_is_the_published_one():
    assert long_video_prompt("What?", 200) == (
        "<image>\nThis is a extremely long video with a total of 200 frames sampled from the video. Please "
        "carefully read every given frame in this video, identifying the detailed contents in every frame. "
        "What?"
    )


@pytest.mark.parametrize(("task", "idx"), [("caption", (7,)), ("diff", (30, 7))])
def test_asked_frames_stand_where_the_question_says(make, task, idx):
    record = make(task=task, idx=idx)
    places_of_passes = set()
    for turn in range(30):
        drawn = record.draw("key", turn)
        frames = values(drawn.opened()[0]["video"])
        question = drawn.conversations[0]["value"].rsplit(". ", 1)[1]
        numbers = [int(word.strip("?")) for word in question.split() if word.strip("?").isdigit()]
        assert 10 <= len(frames) <= 20
        assert f"a total of {len(frames)} frames" in drawn.conversations[0]["value"]
        assert [frames[number] for number in numbers] == list(idx)
        assert numbers == sorted(numbers)
        assert drawn.conversations[1] == {"from": "gpt", "value": "It."}
        places_of_passes.add(tuple(numbers))
    assert len(places_of_passes) > 5
    assert record.draw("key", 3).conversations == record.draw("key", 3).conversations
    assert drawn.visuals[0]["compression"] == 16


def test_the_other_frames_are_spread_over_the_video(make):
    frames = values(make(idx=(0,)).draw("key", 0).opened()[0]["video"])
    others = [frame for frame in frames if frame]
    assert others == sorted(others)
    assert others[-1] == 39 or frames[-1] == 0


def test_a_short_video_is_shown_whole_as_it_is(make):
    drawn = make(num_frames=8, idx=(7,)).draw("key", 0)
    assert values(drawn.opened()[0]["video"]) == list(range(8))
    assert drawn.conversations[0]["value"].endswith("What is in frame 7?")


@pytest.mark.parametrize(("task", "idx"), [("caption", (7,)), ("diff", (7, 30))])
@pytest.mark.parametrize("num_frames", [8, 40])
def test_no_pass_is_longer_than_what_was_counted(make, task, idx, num_frames):
    if max(idx) >= num_frames:
        idx = idx[:1] if task == "caption" else (1, 7)
    record = make(num_frames=num_frames, task=task, idx=idx, bounds=(8, 12))
    processor = make_processor()
    counted, patches = measure(record, processor)
    for turn in range(20):
        drawn = record.draw("key", turn)
        sample = processor.encode_sample(drawn.conversations, drawn.opened())
        assert counted - 4 <= len(sample) <= counted
        assert sample.patches.shape[0] == patches
    assert RULE["patch_size"] == processor.rule.patch_size


def test_videos_and_folders_are_long_videos_too(tmp_path, video, records):
    video("v.mp4", num_frames=24)
    (tmp_path / "folder").mkdir()
    for number in range(24):
        (tmp_path / "folder" / f"{number}.png").write_bytes(grey(number))
    entry = {"idx": [5], "type": "caption", "question": "Frame <idx>?", "answer": "It."}
    names = ["v.mp4", "folder"]
    (tmp_path / "data.json").write_text(json.dumps([{**entry, "video_long": name} for name in names]))
    film, folder = records(tmp_path / "data.json", needle_frames=(6, 8))
    for record in (film, folder):
        drawn = record.draw("key", 1)
        frames = drawn.opened()[0]["video"]
        place = int(drawn.conversations[0]["value"].rsplit(" ", 1)[1].strip("?"))
        assert 6 <= len(frames) <= 8
        counted, _ = measure(record, make_processor())
        assert len(make_processor().encode_sample(drawn.conversations, drawn.opened())) <= counted
        if record is folder:
            assert values(frames)[place] == 5
        else:  # grey values of 40 times the number; the codec is lossy
            assert abs(values(frames)[place] - 200) < 5


def test_frames_of_a_film_are_decoded_as_they_are_asked_for(tmp_path, video, records, monkeypatch):
    """Kept as a row of pictures, 256 frames of a film fill a gigabyte in every worker."""
    decoded = []

    def read(source, indices):
        for frame in read_frames(source, indices):
            decoded.append(frame.index)
            yield frame

    monkeypatch.setattr("oryx.data.sources.needle.read_frames", read)
    video("v.mp4", num_frames=24)
    entry = {"idx": [20, 3], "type": "diff", "question": "<idx1> <idx2>?", "answer": "It."}
    (tmp_path / "data.json").write_text(json.dumps([{**entry, "video_long": "v.mp4"}]))
    (record,) = records(tmp_path / "data.json", needle_frames=(8, 8))
    for turn in range(5):
        frames = record.draw("key", turn).opened()[0]["video"]
        assert (len(frames), decoded) == (8, [])
        first = values([next(iter(frames))])
        assert len(decoded) <= 3  # those that are asked about, and the first
        whole = values(frames)
        assert whole[:1] == first
        assert [values([frames[place]])[0] for place in range(8)] == whole
        assert values(frames[6:]) == whole[6:]
        decoded.clear()


def test_a_film_has_red_first_whatever_stored_pictures_have(tmp_path, records):
    frames = [Image.new("RGB", (32, 24), (200, 10 * number, 0)) for number in range(4)]
    frames[0].save(tmp_path / "v.webp", save_all=True, append_images=frames[1:], lossless=True)
    entry = {"idx": [1], "type": "caption", "question": "<idx>?", "answer": "It.", "video_long": "v.webp"}
    (tmp_path / "data.json").write_text(json.dumps([entry]))
    (record,) = records(tmp_path / "data.json", channel_order="bgr")
    shown = record.draw("key", 0).opened()[0]["video"]
    assert [frame.getpixel((0, 0)) for frame in shown] == [(200, 10 * number, 0) for number in range(4)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"type": "count"}, "type is 'count'; a needle record's is caption or diff"),
        ({"type": ["diff"]}, "type is ['diff']; a needle record's is caption or diff"),
        ({"answer": " "}, "the assistant says nothing in it"),
        ({"idx": []}, "idx is []; type caption needs a list of 1 numbers of frames"),
        ({"idx": [-1]}, "type caption needs a list of 1 numbers"),
        ({"idx": ["a"]}, "type caption needs a list of 1 numbers"),
        ({"idx": [40]}, "idx is [40], but the long video has 40 frames"),
        ({"question": "What?"}, "the question of type caption lacks <idx>"),
        ({"answer": None}, "answer is None; it must be a text"),
        ({"video_long": []}, "the long video has no frames"),
        ({"video_long": 3}, "a medium is 3"),
    ],
)
def test_other_needles_are_refused(make, change, said):
    with pytest.raises(OryxError) as error:
        measure(make(**change), make_processor())
    assert said in str(error.value)
    assert "data.json record 0: " in str(error.value)
