"""Rooms in ScanNet's layout, as the sources of correspondences read them."""

import json

import numpy as np
import pytest
from made_rooms import HEIGHT, make_room, write_rooms

from oryx.data.builders.correspondence.scenes import find_scenes, open_scene
from oryx.data.builders.correspondence.sources.masks import MaskSource
from oryx.data.rooms.scannet import export_scannet
from oryx.data.rooms.store import RoomStore
from oryx.errors import ConfigError, MediaError

VIEWS = [{1: (4, 4, 20, 20), 2: (4, 30, 20, 44)}, {2: (10, 10, 30, 30)}]


@pytest.fixture
def store(tmp_path):
    return RoomStore(
        write_rooms(tmp_path / "store", [make_room(7, ["bed", "chair"], VIEWS), make_room(8, ["bed"], [{}])])
    )


def test_the_files_hold_what_the_store_holds(store, tmp_path):
    seen = []
    written = export_scannet(store, tmp_path / "out", lambda done, total: seen.append((done, total)))
    assert [path.name for path in written] == ["room000007", "room000008"]
    assert seen == [(1, 2), (2, 2)]
    scene = written[0]
    assert (scene / "color" / "1.jpg").read_bytes() == store.read(0, "1.jpg")
    assert (scene / "depth" / "0.png").read_bytes() == store.read(0, "0.depth.png")
    assert np.array_equal(np.loadtxt(scene / "pose" / "0.txt"), np.eye(4))
    camera = np.loadtxt(scene / "intrinsic" / "intrinsic_depth.txt")
    assert np.allclose(camera[:2, 2], -0.5)  # the made rooms' middle is 0; ScanNet's pixels begin half before
    assert json.loads((scene / "labels.json").read_text()) == {"1": "bed", "2": "chair"}
    (bed, _) = json.loads((scene / "boxes.json").read_text())
    assert (bed["label"], bed["center"], bed["size"], bed["yaw"]) == ("bed", [0, 0, 0.5], [1, 1, 1], 0)


def test_correspondences_are_read_from_it(store, tmp_path):
    export_scannet(store, tmp_path / "out")
    first, _ = find_scenes([tmp_path / "out"])
    scene = open_scene(first)
    found = MaskSource().identify(scene, [0, 1])
    assert found.labels == {1: "bed", 2: "chair"}
    assert sorted(found.sights[2]) == [0, 1]
    assert sorted(found.sights[1]) == [0]
    assert found.sights[1][0].area == 256
    assert abs(found.sights[1][0].y - 12) < 1 < HEIGHT


def test_rooms_that_are_there_stay_and_cut_ones_are_written_again(store, tmp_path):
    out = tmp_path / "out"
    (first, second) = export_scannet(store, out)
    (first / "labels.json").write_text("mine")
    left = out / ".room000008.0123abcd.part"
    left.mkdir()
    second.rename(left / "new")
    left.with_suffix(".lock").touch()
    export_scannet(store, out)
    assert (first / "labels.json").read_text() == "mine"
    assert (second / "color" / "0.jpg").exists()
    assert not list(out.glob(".*"))


def test_a_folder_with_rooms_of_another_store_is_refused(store, tmp_path):
    out = tmp_path / "out"
    (first, _) = export_scannet(store, out)
    before = (first / "labels.json").read_text()
    other = RoomStore(write_rooms(tmp_path / "other", [make_room(7, ["sofa"], [{}])], labels=["sofa"]))
    with pytest.raises(ConfigError, match=r"out was begun otherwise \(labels\)"):
        export_scannet(other, out)
    assert (first / "labels.json").read_text() == before


def test_more_rooms_of_the_same_store_are_added(store, tmp_path):
    export_scannet(store, tmp_path / "out")
    rooms = [make_room(7, ["bed", "chair"], VIEWS), *(make_room(number, ["bed"], [{}]) for number in (8, 9))]
    more = RoomStore(write_rooms(tmp_path / "more", rooms))
    assert len(export_scannet(more, tmp_path / "out")) == 3
    assert (tmp_path / "out" / "room000009").exists()


def test_a_store_without_depth_is_refused(tmp_path):
    record, files = make_room(0, ["bed"], [{}])
    files = [(name, data) for name, data in files if "depth" not in name]
    store = RoomStore(write_rooms(tmp_path / "store", [(record, files)]))
    with pytest.raises(MediaError, match=r"without 0\.depth\.png"):
        export_scannet(store, tmp_path / "out")
    assert not (tmp_path / "out" / "room000000").exists()


def test_an_output_that_is_a_file_is_refused(store, tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(ConfigError, match="out is a file; it must be a folder"):
        export_scannet(store, tmp_path / "out")
