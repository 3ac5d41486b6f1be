"""Identity from depth, poses and 3D boxes, against what the renderer knows."""

import json
from pathlib import Path

import numpy as np
import pytest
from made_scenes import Box, Camera, MadeScene, write_scannet
from PIL import Image

from oryx.data.builders.correspondence.scenes import open_scene
from oryx.data.builders.correspondence.sights import measure
from oryx.data.builders.correspondence.sources.boxes import BoxSource, has_boxes
from oryx.errors import MediaError


def test_boxes_are_found_where_they_are_seen(made: MadeScene, scannet: Path) -> None:
    found = BoxSource().identify(open_scene(scannet), range(5))
    assert found.labels[2] == "shelf"
    seen = {(name, view) for name, views in found.sights.items() for view in views}
    true = {(name - 1, view): s for view in range(5) for name, s in measure(made.shots[view].ids).items()}
    assert seen == true.keys()
    for (name, view), sight in true.items():
        ours = found.sights[name][view]
        assert abs(ours.y - sight.y) < 1.5  # the lowest centimetres, which the floor may be, are left out
        assert abs(ours.x - sight.x) < 1
        assert 0.85 < ours.area / sight.area < 1.05


def test_what_stands_before_a_box_hides_it(tmp_path: Path) -> None:
    boxes = (Box((0, 2, 0.5), (0.5, 0.5, 1.0)), Box((0, 0, 1), (2, 0.2, 2)))
    cameras = (Camera((0, -2.5, 1.2), (0, 2, 0.8)), Camera((2.5, 2.4, 1.2), (0, 2, 0.5)))
    scene = write_scannet(MadeScene(boxes, cameras).render(), tmp_path / "room")
    found = BoxSource().identify(open_scene(scene), [0, 1])
    assert found.sights[0].keys() == {1}
    assert found.sights[1].keys() == {0, 1}


def test_of_overlapping_boxes_the_smallest_counts(tmp_path: Path) -> None:
    boxes = (Box((0, 0, 0.5), (1.0, 1.0, 1.0)),)
    scene = write_scannet(
        MadeScene(boxes, (Camera((0, -2.5, 1.2), (0, 0, 0.5)),)).render(), tmp_path / "room"
    )
    covers = [{"id": n, "center": [0, 0, 0.5], "size": [side, side, side]} for n, side in ((5, 4), (0, 1))]
    (scene / "boxes.json").write_text(json.dumps(covers))
    found = BoxSource().identify(open_scene(scene), [0])
    assert found.sights[0][0].area == pytest.approx((scene_ids(boxes) == 1).sum(), rel=0.1)


def test_boxes_of_one_id_are_one_object(tmp_path: Path) -> None:
    boxes = (Box((0, 0, 0.5), (1.0, 1.0, 1.0)),)
    scene = write_scannet(
        MadeScene(boxes, (Camera((0, -2.5, 1.2), (0, 0, 0.5)),)).render(), tmp_path / "room"
    )
    whole = [{"id": "sofa", "center": [0, 0, 0.5], "size": [1, 1, 1]}]
    parts = [
        {"id": "sofa", "min": [low, -0.5, 0], "max": [high, 0.5, 1]}
        for low, high in ((-0.5, 0.2), (0.2, 0.5))
    ]
    areas = []
    for given in (whole, parts):
        (scene / "boxes.json").write_text(json.dumps(given))
        areas.append(BoxSource().identify(open_scene(scene), [0]).sights["sofa"][0].area)
    assert areas[0] == areas[1]


def scene_ids(boxes: tuple[Box, ...]) -> np.ndarray:
    return MadeScene(boxes, (Camera((0, -2.5, 1.2), (0, 0, 0.5)),)).render().shots[0].ids


def test_a_depth_picture_of_another_size(made: MadeScene, scannet: Path) -> None:
    whole = BoxSource().identify(open_scene(scannet), [2])
    path = scannet / "depth" / "20.png"
    Image.open(path).resize((80, 60), Image.Resampling.NEAREST).save(path)
    (scannet / "intrinsic" / "intrinsic_depth.txt").unlink()
    half = BoxSource().identify(open_scene(scannet), [2])
    for name, views in whole.sights.items():
        assert abs(half.sights[name][0].y - views[0].y) < 1.5
        assert abs(half.sights[name][0].x - views[0].x) < 1.5
        assert half.sights[name][0].area == pytest.approx(views[0].area, rel=0.1)


def test_a_lost_pose_shows_nothing(scannet: Path) -> None:
    (scannet / "pose" / "10.txt").write_text(" ".join(["-inf"] * 16))
    found = BoxSource().identify(open_scene(scannet), [0, 1])
    assert {view for views in found.sights.values() for view in views} == {0}


def test_pixels_without_depth_belong_to_nothing(scannet: Path) -> None:
    Image.fromarray(np.zeros((120, 160), dtype=np.uint16)).save(scannet / "depth" / "0.png")
    assert BoxSource().identify(open_scene(scannet), [0]).sights == {}


def test_broken_files_are_named(scannet: Path) -> None:
    scene = open_scene(scannet)
    (scannet / "pose" / "0.txt").unlink()
    with pytest.raises(MediaError, match=r"0\.txt' does not exist"):
        BoxSource().identify(scene, [0])
    Image.new("L", (160, 120), 200).save(scannet / "depth" / "10.png")
    with pytest.raises(MediaError, match="16 bits"):
        BoxSource().identify(scene, [1])
    (scannet / "depth" / "20.png").unlink()
    with pytest.raises(MediaError, match=r"20\.png' does not exist"):
        BoxSource().identify(scene, [2])


def test_what_the_source_needs(scannet: Path, plain: Path) -> None:
    assert has_boxes(open_scene(scannet))
    assert not has_boxes(open_scene(scannet), "mine.json")
    assert not has_boxes(open_scene(plain))
