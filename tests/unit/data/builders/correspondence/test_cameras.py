"""Cameras and boxes from files."""

import json
from pathlib import Path

import numpy as np
import pytest

from oryx.data.builders.correspondence.cameras import (
    Intrinsic,
    find_boxes,
    read_boxes,
    read_intrinsic,
    read_matrix,
)
from oryx.data.builders.correspondence.scenes import open_scene
from oryx.errors import ConfigError, MediaError


def test_matrices_of_both_sizes(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("1 2 3\n4 5 6\n7 8 9\n")
    (tmp_path / "b.txt").write_text(" ".join(map(str, range(16))))
    assert read_matrix(tmp_path / "a.txt").tolist() == [
        [1, 2, 3, 0],
        [4, 5, 6, 0],
        [7, 8, 9, 0],
        [0, 0, 0, 1],
    ]
    assert read_matrix(tmp_path / "b.txt")[3].tolist() == [12, 13, 14, 15]
    (tmp_path / "a.txt").write_text("1 2")
    with pytest.raises(MediaError, match="2 numbers"):
        read_matrix(tmp_path / "a.txt")
    (tmp_path / "a.txt").write_text("one")
    with pytest.raises(MediaError, match="cannot be read as a matrix"):
        read_matrix(tmp_path / "a.txt")
    with pytest.raises(MediaError, match="does not exist"):
        read_matrix(tmp_path / "c.txt")


def test_an_intrinsic_of_larger_pictures_is_found_out(scannet: Path) -> None:
    camera = read_intrinsic(open_scene(scannet), "color", (120, 160))
    assert (camera.cy, camera.cx) == (59.5, 79.5)
    assert camera.scaled(2, 2) == Intrinsic(camera.fy * 2, camera.fx * 2, 119.5, 159.5)
    with pytest.raises(MediaError, match="does not fit color pictures of 60 x 80"):
        read_intrinsic(open_scene(scannet), "color", (60, 80))


def test_a_box_by_its_corners_by_yaw_and_by_rotation(scannet: Path) -> None:
    turned = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    boxes = [
        {"id": "a", "label": "bin", "min": [0, 0, 0], "max": [2, 4, 6]},
        {"id": 1, "center": [1, 2, 3], "size": [2, 4, 6], "yaw": np.pi / 2},
        {"id": 2, "center": [1, 2, 3], "size": [2, 4, 6], "rotation": turned},
    ]
    (scannet / "boxes.json").write_text(json.dumps({"boxes": boxes}))
    straight, yawed, rotated = read_boxes(open_scene(scannet))
    points = np.array([(1, 3.9, 3), (2.9, 2, 3), (1, 2, 6.1), (1, 2, 3)])
    assert straight.holds(points).tolist() == [True, False, False, True]
    assert yawed.holds(points).tolist() == rotated.holds(points).tolist() == [False, True, False, True]
    assert straight.holds(points, margin=0.2).tolist() == [True, False, True, True]
    assert (straight.id, straight.label, straight.volume, yawed.label) == ("a", "bin", 48, None)


def test_aligned_boxes_are_put_back_by_the_scans_alignment(scannet: Path) -> None:
    row = [1, 2, 3, 0.5, 0.6, 0.7, 5, 8]
    (scannet / "boxes.json").unlink()
    np.save(scannet / "scene0001_00_aligned_bbox.npy", np.array([row]))
    with pytest.raises(MediaError, match=r"scene0001_00\.txt' with axisAlignment is needed"):
        read_boxes(open_scene(scannet))
    # The world turned by a quarter around z and moved by (10, 0, 0) is aligned.
    numbers = "0 -1 0 10 1 0 0 0 0 0 1 0 0 0 0 1"
    (scannet / "scene0001_00.txt").write_text(
        f"appVersionId = 1\naxisAlignment = {numbers} \ndepthHeight = 480\n"
    )
    (box,) = read_boxes(open_scene(scannet))
    assert box.id == 8
    assert box.center.tolist() == [2, 9, 3]
    assert box.holds(np.array([(2.29, 9, 3), (2, 9.29, 3)])).tolist() == [True, False]
    (scannet / "boxes.json").write_text(
        json.dumps({"aligned": True, "boxes": [{"id": 8, "center": row[:3], "size": row[3:6]}]})
    )
    (same,) = read_boxes(open_scene(scannet))
    assert np.allclose(same.center, box.center)
    assert np.allclose(same.axes, box.axes)


@pytest.mark.parametrize(
    ("boxes", "sentence"),
    [
        ("{}", "list of boxes"),
        ('[{"id": 1, "center": [0, 0, 0]}]', "box 0 has no 'size'"),
        ('[{"center": [0, 0, 0], "size": [1, 1, 1]}]', "box 0 has no 'id'"),
        ('[{"id": 1, "center": [0, 0], "size": [1, 1, 1]}]', "3 finite numbers"),
        ('[{"id": 1, "center": ["a", 0, 0], "size": [1, 1, 1]}]', "lists of 3 numbers"),
        ('[{"id": 1, "center": [0, 0, 0], "size": [1, 0, 1]}]', "must be above 0"),
        ('[{"id": 1.5, "center": [0, 0, 0], "size": [1, 1, 1]}]', "has the id 1.5"),
        ('[{"id": 1, "center": [0, 0, 0], "size": [1, 1, 1], "rotation": [[1, 0], [0, 1]]}]', "lists of 3"),
        ("[3]", "must be an object"),
    ],
)
def test_broken_boxes(scannet: Path, boxes: str, sentence: str) -> None:
    (scannet / "boxes.json").write_text(boxes)
    with pytest.raises(ConfigError, match=sentence):
        read_boxes(open_scene(scannet))


def test_a_broken_array_of_boxes_and_none_at_all(scannet: Path) -> None:
    (scannet / "boxes.json").unlink()
    scene = open_scene(scannet)
    assert find_boxes(scene) is None
    with pytest.raises(MediaError, match="has no boxes"):
        read_boxes(scene)
    with pytest.raises(MediaError, match=r"mine\.json is needed"):
        read_boxes(scene, "mine.json")
    np.save(scannet / "x_aligned_bbox.npy", np.zeros((2, 7)))
    with pytest.raises(ConfigError, match=r"\(boxes, 8\)"):
        read_boxes(scene)
    (scannet / "x_aligned_bbox.npy").write_bytes(b"no array")
    with pytest.raises(ConfigError, match="NumPy array"):
        read_boxes(scene)


@pytest.mark.parametrize("rows", [np.full((2, 8), "1"), np.full((2, 8), True), np.zeros((2, 8), complex)])
def test_an_array_of_something_else(scannet: Path, rows: np.ndarray) -> None:
    (scannet / "boxes.json").unlink()
    np.save(scannet / "x_aligned_bbox.npy", rows)
    with pytest.raises(ConfigError, match=r"\(boxes, 8\) finite numbers"):
        read_boxes(open_scene(scannet))


@pytest.mark.parametrize("content", ["empty", "archive"])
def test_a_file_that_is_no_single_array(scannet: Path, content: str) -> None:
    (scannet / "boxes.json").unlink()
    with (scannet / "x_aligned_bbox.npy").open("wb") as file:
        if content == "archive":
            np.savez(file, rows=np.zeros((2, 8)))
    with pytest.raises(ConfigError, match="NumPy array"):
        read_boxes(open_scene(scannet))


@pytest.mark.parametrize("numbers", ["0 " * 16, "nan " * 16, "1 0 0 0 1 0 0 0 0 0 1 0 0 0 0 1"])
def test_an_alignment_that_cannot_be_undone(scannet: Path, numbers: str) -> None:
    (scannet / "boxes.json").unlink()
    np.save(scannet / "scene0001_00_aligned_bbox.npy", np.array([[1, 2, 3, 0.5, 0.6, 0.7, 5, 8]]))
    (scannet / "scene0001_00.txt").write_text(f"axisAlignment = {numbers}\n")
    with pytest.raises(
        MediaError, match=r"scene0001_00\.txt': axisAlignment is no matrix that can be undone"
    ):
        read_boxes(open_scene(scannet))
