"""Records of files: what they may look like, and what is said of those that do not."""

import json

import av
import numpy as np
import pytest
from factories import make_processor
from PIL import Image

from oryx.data.marks import Mark
from oryx.errors import ConfigError, MediaError
from oryx.media.subtitles import Subtitle
from oryx.processing.geometry import ResizeRule
from oryx.processing.visuals import encode_visual
from oryx.training.records import measured_visual, read_records

TURNS = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello."}]


def write(tmp_path, content, name="data.json"):
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_json_and_jsonl_give_the_same(tmp_path):
    entries = [{"conversations": TURNS}, {"conversations": TURNS, "image": "a.png"}]
    lines = "\n".join(map(json.dumps, entries)) + "\n\n"
    first = read_records(write(tmp_path, entries))
    second = read_records(write(tmp_path, lines, "data.jsonl"))
    assert [record.visuals for record in first] == [record.visuals for record in second]
    assert first[1].place == f"{tmp_path / 'data.json'} record 1"


def test_media_paths_start_from_the_root(tmp_path):
    visuals = [
        {"type": "views", "views": ["a.png", "b.png"], "compression": 4},
        {"type": "video", "video": "v.mp4"},
    ]
    entry = {"conversations": TURNS, "visuals": visuals}
    path = write(tmp_path, [entry, {"conversations": TURNS, "image": ["a.png", "b.png"]}])
    first, second = read_records(path, media_root="/media")
    assert first.visuals[0] == {"type": "views", "views": ["/media/a.png", "/media/b.png"], "compression": 4}
    assert first.visuals[1]["video"] == "/media/v.mp4"
    assert [visual["image"] for visual in second.visuals] == ["/media/a.png", "/media/b.png"]
    assert read_records(path)[1].visuals[0]["image"] == str(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[", "data.json is not valid JSON"),
        ('{"conversations": []}\n{', "data.json line 2 is not valid JSON"),
        ("[]", "data.json holds no records"),
        ("", "data.json holds no records"),
        ([3], 'record 0 must be an object with a list "conversations"'),
        ([{"conversations": TURNS}, {}], 'record 1 must be an object with a list "conversations"'),
        ([{"conversations": []}], 'must have "from" and "value"'),
        ([{"conversations": [{"from": "human"}]}], 'must have "from" and "value"'),
        ([{"conversations": TURNS, "visuals": ["a.png"]}], '"visuals" must be a list of objects'),
    ],
)
def test_other_forms_are_refused_by_place(tmp_path, content, said):
    with pytest.raises(ConfigError) as error:
        read_records(write(tmp_path, content))
    assert said in str(error.value)


def test_a_list_that_holds_no_paths_is_refused(tmp_path):
    path = write(tmp_path, [{"conversations": TURNS, "visuals": [{"type": "views", "views": [1]}]}])
    with pytest.raises(MediaError, match="'views' must be a path or a list of paths"):
        read_records(path)


def test_missing_and_binary_files_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"none.json does not exist"):
        read_records(tmp_path / "none.json")
    (tmp_path / "data.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"data.json cannot be read"):
        read_records(tmp_path / "data.json")


# -- marks and subtitles -------------------------------------------------------------------------------


def read_visual(tmp_path, visual):
    (record,) = read_records(write(tmp_path, [{"conversations": TURNS, "visuals": [visual]}]), "/media")
    return record.visuals[0]


@pytest.mark.parametrize("address", ["http://a.b/c.png", "https://a.b/c.png", "file:///c.png", "data:,x"])
@pytest.mark.parametrize("key", ["url", "image"])
def test_an_address_stays_as_it_is(tmp_path, key, address):
    assert read_visual(tmp_path, {"type": "image", key: address})[key] == address


@pytest.mark.parametrize(
    ("visual", "key"),
    [
        ({"type": "image", "url": "a.png"}, "url"),
        ({"type": "image_url", "image_url": {"url": "a.png"}}, "image_url"),
        ({"type": "input_image", "input_image": "a.png"}, "input_image"),
        ({"type": "video_url", "video_url": {"url": "a.png"}}, "video_url"),
        ({"type": "video", "video": "v.mp4", "subtitles": "a.png"}, "subtitles"),
    ],
)
def test_every_path_starts_from_the_root(tmp_path, visual, key):
    assert read_visual(tmp_path, visual)[key] == "/media/a.png"


def test_subtitles_may_be_written_out(tmp_path):
    written = ["First.", {"start": 1, "end": 2.5, "text": "Then."}]
    visual = read_visual(tmp_path, {"type": "video", "video": "v.mp4", "subtitles": written})
    assert visual["subtitles"] == ["First.", Subtitle(1.0, 2.5, "Then.")]
    for kept in (True, False, None):
        assert read_visual(tmp_path, {"type": "video", "video": "v", "subtitles": kept})["subtitles"] is kept


def test_marks_become_marks_that_supervise(tmp_path):
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    mark = {"view": 0, "y": 0.25, "x": 1, "text": "red"}
    turns = [{"from": "human", "value": "<image>What?"}, {"from": "gpt", "value": "It."}]
    entry = {
        "conversations": turns,
        "visuals": [{"type": "image", "image": "a.png", "detail": "low", "marks": [mark]}],
    }
    (record,) = read_records(write(tmp_path, [entry]))
    assert record.visuals[0]["marks"] == [Mark(0, 0.25, 1.0, "red")]
    processor = make_processor()
    plain = [{**record.visuals[0], "marks": None}]
    labels = processor.encode_sample(turns, record.visuals).labels
    assert (labels != processor.encode_sample(turns, plain).labels).sum() == 1


@pytest.mark.parametrize(
    ("dials", "said"),
    [
        ({"marks": 3}, 'record 0: "marks" must be a list of objects with view, y, x and text'),
        ({"marks": [3]}, "record 0: marks[0] is 3; it must be a section of keys and values"),
        ({"marks": [{"view": 0, "y": 0, "x": 0}]}, "record 0: marks[0].text is missing"),
        (
            {"marks": [{"view": 0, "y": 0, "x": 0, "txt": "a"}]},
            "record 0: marks[0].txt is not a known key; did you mean 'text'",
        ),
        (
            {"marks": [{"view": "a", "y": 0, "x": 0, "text": "a"}]},
            "record 0: marks[0].view is 'a'; it must be a whole number",
        ),
        (
            {"marks": [{"view": 0, "y": 1.5, "x": 0, "text": "a"}]},
            "record 0: marks[0] is at y 1.5 and x 0; both must be from 0 to 1",
        ),
        ({"subtitles": 3}, 'record 0: "subtitles" must be true, a path, or a list of texts or objects'),
        ({"subtitles": {"start": 1}}, 'record 0: "subtitles" must be true, a path'),
        ({"subtitles": [{"start": 1, "text": "a"}]}, "record 0: subtitles[0].end is missing"),
        ({"subtitles": [[1]]}, "record 0: subtitles[0] is [1]; it must be a section of keys"),
    ],
)
def test_other_marks_and_subtitles_are_refused_by_place(tmp_path, dials, said):
    with pytest.raises(ConfigError) as error:
        read_visual(tmp_path, {"type": "video", "video": "v.mp4", **dials})
    assert said in str(error.value)


# -- counting ------------------------------------------------------------------------------------------


def forbid_decoding(monkeypatch):
    def decode(*args, **kwargs):
        raise AssertionError("something was decoded")

    monkeypatch.setattr("oryx.media.image.to_rgb", decode)
    monkeypatch.setattr("oryx.media.video._read", decode)
    monkeypatch.setattr("oryx.processing.visuals.patchify", decode)


def assert_counted_as_encoded(visual, monkeypatch):
    encoded = encode_visual(visual, ResizeRule())
    with monkeypatch.context() as context:
        forbid_decoding(context)
        measured = measured_visual(visual, ResizeRule())
    assert measured.patches is None
    assert (measured.kind, measured.views, measured.note) == (encoded.kind, encoded.views, encoded.note)
    assert measured.num_tokens == encoded.num_tokens


@pytest.mark.parametrize("dials", [{}, {"detail": "low"}, {"compression": 4}, {"max_pixels": 64**2}])
@pytest.mark.parametrize("size", [(300, 200), (20, 90)])
def test_pictures_are_counted_without_decoding(tmp_path, monkeypatch, dials, size):
    Image.new("RGB", size).save(tmp_path / "a.png")
    assert_counted_as_encoded({"type": "image", "image": str(tmp_path / "a.png"), **dials}, monkeypatch)


@pytest.fixture
def clip(tmp_path):
    """A video of 9 frames at 5 a second, with subtitles beside it."""
    with av.open(str(tmp_path / "clip.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for number in range(9):
            pixels = np.full((48, 64, 3), 20 * number, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    (tmp_path / "clip.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nHello.\n")
    return str(tmp_path / "clip.mp4")


@pytest.mark.parametrize(
    "dials",
    [
        {},
        {"max_frames": 4, "compression": 16},
        {"fps": 2, "max_pixels": 64**2},
        {"timestamps": True, "subtitles": True},
    ],
)
def test_videos_are_counted_without_decoding(clip, monkeypatch, dials):
    assert_counted_as_encoded({"type": "video", "video": clip, **dials}, monkeypatch)


@pytest.mark.parametrize("kind", ["video", "views"])
def test_lists_of_pictures_are_counted_without_decoding(tmp_path, monkeypatch, kind):
    names = [str(tmp_path / f"{number}.png") for number in range(3)]
    for number, name in enumerate(names):
        Image.new("RGB", (64 + 40 * number, 300)).save(name)
    dials = {"compression": 2, **({"fps": 1, "timestamps": True} if kind == "video" else {})}
    assert_counted_as_encoded({"type": kind, kind: names, **dials}, monkeypatch)
    if kind == "views":
        assert_counted_as_encoded({"type": "views", "views": str(tmp_path)}, monkeypatch)


@pytest.mark.parametrize("dials", [{"fps": "2"}, {"max_frames": 0}, {"compression": 3}])
def test_counting_refuses_the_dials_that_encoding_would(tmp_path, dials):
    Image.new("RGB", (64, 48)).save(tmp_path / "a.png")
    with pytest.raises(ConfigError):
        measured_visual({"type": "video", "video": [str(tmp_path / "a.png")], **dials}, ResizeRule())


@pytest.mark.parametrize(
    "dials", [{"max_visual_tokens": 60}, {"focus": "2-4"}, {"focus": "auto", "max_frames": 8}]
)
def test_what_is_measured_is_what_is_encoded(dials):
    """Dials that the planner spends: rows are packed by the measured tokens."""
    processor = make_processor()
    rng = np.random.default_rng(0)
    frames = [Image.fromarray(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)) for _ in range(10)]
    visual = {"type": "video", "video": frames, **dials}
    turns = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "It."}]
    whole = processor.encode_sample(turns, [visual])
    measured = processor.encode_sample(turns, [measured_visual(visual, processor.rule)])
    assert len(measured) == len(whole)
