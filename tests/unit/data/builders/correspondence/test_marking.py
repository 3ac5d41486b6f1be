"""One scene from its pictures to marked views, by every source that needs no weights."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from made_scenes import MadeScene
from PIL import Image

from oryx.data.builders.correspondence.marking import OutputError, make_source, mark_scene
from oryx.data.builders.correspondence.marks import read_marks
from oryx.data.builders.correspondence.scenes import open_scene
from oryx.data.builders.correspondence.settings import MarkSettings
from oryx.data.builders.correspondence.sights import Sight, Sightings
from oryx.errors import ConfigError, MediaError


def _red_at(path: Path, y: float, x: float, size: int) -> float:
    """Share of pixels from red to white in a dot's inner square: far redder than anything in the room."""
    red = np.asarray(Image.open(path))[..., 0]
    reach = size // 3
    return float((red[int(y) - reach : int(y) + reach, int(x) - reach : int(x) + reach] > 190).mean())


@pytest.mark.parametrize("source", ["masks", "boxes"])
def test_dots_lie_on_their_objects(made: MadeScene, scannet: Path, tmp_path: Path, source: str) -> None:
    marked = mark_scene(scannet, tmp_path / "out", MarkSettings(source=source))
    assert [entry.number for entry in marked.marked] == [1, 2, 3]
    assert {entry.label for entry in marked.marked} == {"chair", "table", "shelf"}
    assert marked.mark_size == 15
    for entry in marked.marked:
        assert entry.sights.keys() == set(range(5))
        for view, sight in entry.sights.items():
            assert made.shots[view].ids[int(sight.y), int(sight.x)] == entry.id + 1
            assert _red_at(marked.files[view], sight.y, sight.x, marked.mark_size) > 0.9


def test_nothing_else_is_replaced(scannet: Path, tmp_path: Path) -> None:
    before = sorted(scannet.rglob("*"))
    with pytest.raises(OutputError, match="is there already and holds no marks; use another output folder"):
        mark_scene(scannet, scannet.parent)
    marked = mark_scene(scannet, tmp_path / "out")
    with pytest.raises(OutputError, match="is the scene itself; use another output folder"):
        mark_scene(marked.folder, tmp_path / "out", source=lambda: None)  # type: ignore[arg-type]
    assert sorted(scannet.rglob("*")) == before


def test_what_is_written(scannet: Path, tmp_path: Path) -> None:
    marked = mark_scene(scannet, tmp_path / "out")
    folder = tmp_path / "out" / "scene0001_00"
    assert marked.folder == folder
    assert sorted(path.name for path in folder.iterdir()) == ["marks.json", "sheet.jpg", "views"]
    assert sorted(path.name for path in (folder / "views").iterdir()) == [f"00{n}.jpg" for n in range(5)]
    assert Image.open(folder / "sheet.jpg").size == (3 * 326 + 6, 2 * 246 + 6)
    assert os.listdir(tmp_path / "out") == ["scene0001_00"]
    content = json.loads((folder / "marks.json").read_text())
    assert content["source"] == "masks"
    assert content["views"][1] == {
        "file": "views/001.jpg",
        "frame": "color/10.jpg",
        "height": 120,
        "width": 160,
    }
    first = content["objects"][0]
    assert (first["number"], first["id"], first["label"]) == (1, 1, "table")
    sight = first["sights"][2]
    assert (sight["view"], sight["y"]) == (2, pytest.approx(sight["y_px"] / 120, abs=1e-4))
    again = read_marks(folder)
    assert again.marked[0].sights[2].area == sight["area"]
    assert (again.views, again.settings) == (marked.views, marked.settings)


def test_few_objects_and_few_views(scannet: Path, tmp_path: Path) -> None:
    settings = MarkSettings(objects=1, views=3, format="png", max_side=80, mark_size=9)
    marked = mark_scene(scannet, tmp_path, settings)
    assert [view.frame for view in marked.views] == ["color/0.jpg", "color/20.jpg", "color/40.jpg"]
    assert [(view.height, view.width) for view in marked.views] == [(60, 80)] * 3
    assert [entry.number for entry in marked.objects] == [1, None, None]
    whole = mark_scene(scannet, tmp_path / "whole", MarkSettings(views=3))
    for small, large in zip(marked.objects[0].sights.values(), whole.objects[0].sights.values()):
        assert (small.y, small.x, small.area) == (large.y / 2, large.x / 2, large.area / 4)
    assert _red_at(marked.files[0], *_place(marked.objects[0].sights[0]), 9) > 0.9


def _place(sight: Sight) -> tuple[float, float]:
    return sight.y, sight.x


def test_walls_are_never_marked(plain: Path, tmp_path: Path) -> None:
    (plain / "labels.json").write_text('{"1": "Floor", "2": "table", "3": "shelf"}')
    assert {entry.label for entry in mark_scene(plain, tmp_path).objects} == {"table", "shelf"}
    everything = MarkSettings(exclude=())
    assert len(mark_scene(plain, tmp_path, everything).objects) == 3


def test_slivers_do_not_count_as_seen(plain: Path, tmp_path: Path) -> None:
    areas = {e.id: max(s.area for s in e.sights.values()) for e in mark_scene(plain, tmp_path).objects}
    least = sorted(areas.values())[1] / (120 * 160)
    kept = mark_scene(plain, tmp_path / "large", MarkSettings(min_share=least, min_views=1))
    assert {entry.id for entry in kept.objects} == {
        name for name, area in areas.items() if area >= least * 19200
    }


class _Fixed:
    """A source that was told."""

    def __init__(self, sights: dict[int, list[int]]) -> None:
        self.sights = sights

    def identify(self, scene, views):
        return Sightings(
            {name: {views.index(v): Sight(60, 80, 900.0) for v in seen} for name, seen in self.sights.items()}
        )


def test_views_are_chosen_to_share_objects(plain: Path, tmp_path: Path) -> None:
    told = _Fixed({1: [1, 3], 2: [1, 3], 3: [0], 4: [2, 4]})
    marked = mark_scene(plain, tmp_path, MarkSettings(views=2, choose="coverage"), source=told)
    assert [view.frame for view in marked.views] == ["views/view1.png", "views/view3.png"]
    assert {entry.id for entry in marked.marked} == {1, 2}
    assert marked.source == "_Fixed"


def test_an_object_of_a_single_view_corresponds_to_nothing(plain: Path, tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="no object is seen in 2 of the 5 views"):
        mark_scene(plain, tmp_path / "out", source=_Fixed({1: [1], 2: [3]}))
    assert not (tmp_path / "out").exists()
    marked = mark_scene(plain, tmp_path / "out", MarkSettings(min_views=1), source=_Fixed({1: [1], 2: [3]}))
    assert [entry.number for entry in marked.objects] == [1, 2]


def test_a_single_view(plain: Path, tmp_path: Path) -> None:
    for number in range(1, 5):
        (plain / "views" / f"view{number}.png").unlink()
    with pytest.raises(MediaError, match="single view"):
        mark_scene(plain, tmp_path / "out")
    assert len(mark_scene(plain, tmp_path / "out", MarkSettings(min_views=1)).views) == 1


def test_auto_takes_the_surest_source_there_is(scannet: Path) -> None:
    names = []
    for missing in (None, "instance-filt", "boxes.json"):
        if missing:
            (scannet / missing).rename(scannet.parent / missing)
        names.append(make_source(open_scene(scannet), MarkSettings())[0])
    assert names == ["masks", "boxes", "features"]
    with pytest.raises(ConfigError, match="no SAM 2 weights"):
        make_source(open_scene(scannet), MarkSettings(sam2=str(scannet / "nothing")))


def test_features_mark_a_scene_without_anything_else(scannet: Path, tmp_path: Path) -> None:
    marked = mark_scene(scannet, tmp_path, MarkSettings(source="features", views=3))
    assert len(marked.marked) == 5
    assert len(marked.views) == 3
    for entry in marked.marked:
        assert len(entry.sights) >= 2
        for view, sight in entry.sights.items():
            assert 0 <= sight.y <= 120
            assert 0 <= sight.x <= 160
            assert view < 3


def test_a_new_result_takes_the_place_of_an_old_one_whole(plain: Path, tmp_path: Path) -> None:
    mark_scene(plain, tmp_path / "out")
    (tmp_path / "out" / ".kitchen.0123abcd.part" / "new").mkdir(parents=True)
    (tmp_path / "out" / ".kitchen.0123abcd.lock").touch()
    marked = mark_scene(plain, tmp_path / "out", MarkSettings(views=2))
    assert len(list((marked.folder / "views").iterdir())) == 2
    assert os.listdir(tmp_path / "out") == ["kitchen"]


def test_a_failure_while_writing_leaves_the_old_result(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark_scene(plain, tmp_path / "out")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("oryx.data.builders.correspondence.marking.write_marks", full)
    with pytest.raises(OutputError, match="No space left"):
        mark_scene(plain, tmp_path / "out", MarkSettings(views=2))
    assert os.listdir(tmp_path / "out") == ["kitchen"]
    assert len(read_marks(tmp_path / "out" / "kitchen").views) == 5


def test_marks_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        read_marks(tmp_path)
    (tmp_path / "marks.json").write_text('{"views": []}')
    with pytest.raises(ConfigError, match="not a file of marks"):
        read_marks(tmp_path)
