"""Evaluation records: read whole, or refused with the line that is wrong."""

import json

import pytest
from made_qa import SCANQA, SCENES, write_scanqa, write_sqa3d

from oryx.errors import ConfigError
from oryx.evaluation.scenes.records import read_items, refuse_missing


@pytest.fixture(scope="module")
def scanqa(tmp_path_factory):
    return write_scanqa(tmp_path_factory.mktemp("scanqa"))


def test_records_of_the_builder_are_read(scanqa):
    records = read_items(scanqa, "scanqa")
    assert [item.question for item in records.items] == [question for _, question, _ in SCANQA]
    first = records.items[0]
    assert (first.id, first.scene, first.answers) == ("val-0", SCENES[0], ("by the desk", "next to desk"))
    assert first.prompt.startswith("<image>\n")
    assert "Where is the chair?" in first.prompt
    assert first.visual["compression"] == 4
    assert [view.is_file() for view in first.views] == [True, True]
    assert records.missing_views() == {}


def test_the_situation_is_in_the_prompt_and_not_in_the_question(tmp_path):
    item = read_items(write_sqa3d(tmp_path), "sqa3d").items[0]
    assert item.question == "What is behind me?"
    assert "I sit on the chair." in item.prompt


def test_missing_views_are_listed_with_what_needs_them(scanqa, tmp_path):
    lines = [json.loads(line) for line in scanqa.read_text().splitlines()]
    for line in lines:
        views = [str(scanqa.parent / view) for view in line["visuals"][0]["views"]]
        line["visuals"][0]["views"] = views if line["scene"] == SCENES[0] else ["gone.jpg", "lost.jpg"]
    path = tmp_path / "records.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    records = read_items(path, "scanqa")
    missing = records.missing_views()
    assert missing == {tmp_path / "gone.jpg": 2, tmp_path / "lost.jpg": 2}
    assert [item.id for item in records.without(missing)] == ["val-0", "val-1"]
    with pytest.raises(
        ConfigError, match=r"^2 views are missing, which 2 of 4 questions need: .*gone\.jpg, "
    ):
        refuse_missing(records, missing, "--skip")
    refuse_missing(records, {}, "--skip")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"question": None}, "line 1 is no evaluation record; make them with"),
        ({"answers": []}, "line 1 has no answers, or a blank one"),
        ({"answers": [" "]}, "line 1 has no answers, or a blank one"),
        ({"answers": [2]}, "line 1 has no answers, or a blank one"),
        ({"visuals": []}, "line 1 is no record of one scene's views"),
        ({"visuals": [{"type": "views", "views": []}]}, "line 1 is no record of one scene's views"),
        ({"visuals": [{"type": "image", "image": "a"}]}, "line 1 is no record of one scene's views"),
        ({"scene": 3}, "line 1 is no record of one scene's views"),
        ({"id": "sqa3d-4"}, r"line 1 \('sqa3d-4'\) is of sqa3d, not of scanqa"),
        ({"id": "val-2"}, r"has 'val-2' \(lines 1, 3\) more than once; each id must stand once"),
        ({"conversations": [{"value": "a"}, {"value": "b"}]}, "line 1 is no evaluation record"),
    ],
)
def test_refusals(scanqa, tmp_path, change, message):
    lines = [json.loads(line) for line in scanqa.read_text().splitlines()]
    path = tmp_path / "records.jsonl"
    path.write_text("\n".join(map(json.dumps, [{**lines[0], **change}, *lines[1:]])))
    with pytest.raises(ConfigError, match=message):
        read_items(path, "scanqa")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "holds no records"),
        (b"\n\n", "holds no records"),
        (b"{", "line 1 is no record"),
        (b"[1]", "line 1 is no record"),
        (b"\xff\xfe", "it is no UTF-8 text"),
        (None, "cannot be read"),
    ],
)
def test_files_that_are_none(tmp_path, data, message):
    path = tmp_path / "records.jsonl"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(ConfigError, match=message):
        read_items(path, "scanqa")
