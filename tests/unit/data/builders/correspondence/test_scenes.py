"""Layouts of scenes, and what is wrong with folders."""

import json
from pathlib import Path

import pytest
from PIL import Image

from oryx.data.builders.correspondence.scenes import find_scenes, open_scene
from oryx.errors import ConfigError, MediaError


def test_scannets_layout(scannet: Path) -> None:
    scene = open_scene(scannet)
    assert scene.name == "scene0001_00"
    assert [view.name for view in scene.views] == ["0.jpg", "10.jpg", "20.jpg", "30.jpg", "40.jpg"]
    assert scene.masks == scannet / "instance-filt"
    assert scene.scannet_ids
    assert scene.labels == {0: "chair", 1: "table", 2: "shelf", 3: "lamp"}
    assert scene.beside("pose", 2, ".txt") == scannet / "pose" / "20.txt"


def test_the_clean_meshs_objects_are_others(scannet: Path) -> None:
    other = scannet / "scene0001_00_vh_clean.aggregation.json"
    other.write_text(json.dumps({"segGroups": [{"objectId": 0, "label": "door"}]}))
    assert open_scene(scannet).labels[0] == "chair"


def test_views_and_masks(plain: Path) -> None:
    (plain / "labels.json").write_text('{"1": "chair", "b": "bin"}')
    scene = open_scene(plain)
    assert (len(scene.views), scene.masks, scene.scannet_ids) == (5, plain / "masks", False)
    assert scene.labels == {1: "chair", "b": "bin"}


def test_a_folder_of_pictures_is_a_scene(tmp_path: Path) -> None:
    for name in ("b10.png", "b9.png", "notes.txt"):
        path = tmp_path / name
        Image.new("RGB", (4, 4)).save(path) if path.suffix == ".png" else path.write_text("")
    scene = open_scene(tmp_path)
    assert [view.name for view in scene.views] == ["b9.png", "b10.png"]
    assert (scene.masks, scene.labels) == (None, {})


def test_scenes_are_found_one_level_down(scannet: Path, plain: Path, tmp_path: Path) -> None:
    (tmp_path / "scans" / "empty").mkdir()
    (tmp_path / "scans" / "readme.txt").write_text("")
    assert find_scenes([tmp_path / "scans"]) == [plain, scannet]
    assert find_scenes([scannet]) == [scannet]


def test_paths_that_hold_no_scene(tmp_path: Path, scannet: Path) -> None:
    with pytest.raises(MediaError, match="does not exist"):
        find_scenes([tmp_path / "nothing"])
    with pytest.raises(MediaError, match="is not a folder"):
        find_scenes([scannet / "boxes.json"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(MediaError, match="holds no scene"):
        find_scenes([tmp_path / "empty"])
    with pytest.raises(MediaError, match="no picture"):
        open_scene(tmp_path / "empty")


def test_two_scenes_of_one_name(scannet: Path, tmp_path: Path) -> None:
    twin = tmp_path / "more" / scannet.name / "views"
    twin.mkdir(parents=True)
    with pytest.raises(ConfigError, match="scenes of one name"):
        find_scenes([scannet, tmp_path / "more"])


def test_two_views_of_one_name(plain: Path) -> None:
    Image.new("RGB", (4, 4)).save(plain / "views" / "view0.jpg")
    with pytest.raises(MediaError, match="of one name"):
        open_scene(plain)


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("labels.json", "[1]", "ids and names"),
        ("labels.json", '{"1": 2}', "ids and names"),
        ("labels.json", "{", "cannot be read as JSON"),
        ("scene0001_00.aggregation.json", '{"segGroups": [{"label": "x"}]}', "segGroups"),
        ("scene0001_00.aggregation.json", "[]", "segGroups"),
    ],
)
def test_broken_labels(scannet: Path, name: str, text: str, sentence: str) -> None:
    (scannet / name).write_text(text)
    with pytest.raises(ConfigError, match=sentence):
        open_scene(scannet)
