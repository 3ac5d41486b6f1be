"""Feature tracking on a made walk: where points really are is known."""

from pathlib import Path

import numpy as np
import pytest
from made_scenes import Camera, MadeScene, furnished, walk, write_plain
from PIL import Image

from oryx.data.builders.correspondence.scenes import open_scene
from oryx.data.builders.correspondence.selection import select_objects
from oryx.data.builders.correspondence.sources.features import (
    FeatureSettings,
    FeatureSource,
    patches,
    track,
)

VIEWS = 5


@pytest.fixture(scope="module")
def scene() -> MadeScene:
    """Five views 30 cm apart, 120 x 160 pixels: points move by up to a tenth of the picture between two."""
    return furnished(VIEWS)


@pytest.fixture(scope="module")
def tracks(scene: MadeScene) -> np.ndarray:
    return track([np.asarray(Image.fromarray(s.color).convert("L"), np.float32) for s in scene.shots])


def test_points_stay_on_their_surface(scene: MadeScene, tracks: np.ndarray) -> None:
    errors = []
    for points in tracks:
        (first, *others) = np.flatnonzero(~np.isnan(points[:, 0])) if not np.isnan(points).all() else (0,)
        y, x = np.round(points[first]).astype(int)
        surface = scene.shots[first].points[y, x]
        for view in others:
            row, column, _ = scene.project(surface, view)
            errors.append(np.hypot(points[view, 0] + 0.5 - row, points[view, 1] + 0.5 - column))
    assert len(errors) > 150
    assert np.median(errors) < 0.7  # a start is rounded to whole pixels here
    assert np.mean(np.array(errors) < 3) > 0.93


def test_marks_are_seen_in_all_views_and_stay_with_one_thing(scene: MadeScene, tracks: np.ndarray) -> None:
    found = patches(tracks, [(120, 160)] * VIEWS)
    chosen = select_objects(found.areas(), 5, min_views=2)
    assert len(chosen) == 5
    same, near = [], []
    for name in chosen:
        sights = found.sights[name]
        assert len(sights) == VIEWS
        start = sights[0]
        thing = scene.shots[0].ids[int(start.y), int(start.x)]
        surface = scene.shots[0].points[int(start.y), int(start.x)]
        for view in range(1, VIEWS):
            row, column, _ = scene.project(surface, view)
            sight = sights[view]
            near.append(np.hypot(sight.y - row, sight.x - column) < 12)
            same.append(scene.shots[view].ids[int(sight.y), int(sight.x)] == thing)
    assert np.mean(same) >= 0.9
    assert np.mean(near) >= 0.9


def test_marks_lie_apart(scene: MadeScene, tracks: np.ndarray) -> None:
    found = patches(tracks, [(120, 160)] * VIEWS)
    chosen = select_objects(found.areas(), 5, min_views=2)
    for view in range(VIEWS):
        points = np.array([(found.sights[o][view].y, found.sights[o][view].x) for o in chosen])
        gaps = np.linalg.norm(points[:, None] - points[None], axis=-1) + 1000 * np.eye(len(points))
        assert gaps.min() > FeatureSettings().patch * 120


def test_views_of_other_places_share_nothing(tmp_path: Path) -> None:
    cameras = (Camera((0, 0, 1.4), (0, 3, 1)), Camera((0, 0, 1.4), (0.3, -3, 1)))
    folder = write_plain(MadeScene((), cameras).render(), tmp_path / "room", with_masks=False)
    found = FeatureSource().identify(open_scene(folder), [0, 1])
    assert len(found.sights) <= 3  # chance alone


def test_a_large_picture_is_tracked_small_and_told_in_its_own_pixels(tmp_path: Path) -> None:
    made = MadeScene(furnished(1).boxes, walk(2, reach=0.2)).render()
    folder = write_plain(made, tmp_path / "room", with_masks=False)
    small = FeatureSource().identify(open_scene(folder), range(2))
    for path in (folder / "views").iterdir():
        Image.open(path).resize((320, 240), Image.Resampling.BICUBIC).save(path)
    large = FeatureSource(FeatureSettings(side=120)).identify(open_scene(folder), range(2))
    assert max(s.x for views in small.sights.values() for s in views.values()) <= 160
    xs = [s.x for views in large.sights.values() for s in views.values()]
    assert 160 < max(xs) <= 320


def test_pictures_without_corners_give_nothing(tmp_path: Path) -> None:
    (tmp_path / "views").mkdir()
    for number in range(3):
        Image.new("RGB", (80, 60), (90, 90, 90)).save(tmp_path / "views" / f"{number}.png")
    assert FeatureSource().identify(open_scene(tmp_path), range(3)).sights == {}


def test_views_of_any_size_are_gone_through(tmp_path: Path) -> None:
    (tmp_path / "views").mkdir()
    for number, size in enumerate([(200, 150), (1, 1), (40, 12), (150, 200), (20, 300)]):
        pixels = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "views" / f"{number}.png")
    assert FeatureSource().identify(open_scene(tmp_path), range(5)).sights == {}
