"""Records of files: what they may look like, and what is said of those that do not."""

import json

import pytest
from PIL import Image

from oryx.errors import ConfigError, MediaError
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


@pytest.mark.parametrize("dials", [{}, {"detail": "low"}, {"compression": 4}, {"max_pixels": 64**2}])
@pytest.mark.parametrize("size", [(300, 200), (20, 90)])
def test_a_header_is_enough_to_count_tokens(tmp_path, dials, size):
    Image.new("RGB", size).save(tmp_path / "a.png")
    visual = {"type": "image", "image": str(tmp_path / "a.png"), **dials}
    measured, encoded = measured_visual(visual, ResizeRule()), encode_visual(visual, ResizeRule())
    assert measured.patches is None
    assert measured.views == encoded.views


def test_frames_are_counted_by_decoding(tmp_path):
    visual = {"type": "video", "video": [Image.new("RGB", (64, 48))] * 3}
    assert measured_visual(visual, ResizeRule()).num_tokens == encode_visual(visual, ResizeRule()).num_tokens
