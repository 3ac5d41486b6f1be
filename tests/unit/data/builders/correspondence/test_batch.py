"""Many scenes: resumed, and broken ones named and skipped up to a limit."""

import dataclasses
import shutil
from pathlib import Path

import pytest
from made_scenes import MadeScene, write_plain

from oryx.data import processes
from oryx.data.builders.correspondence.batch import mark_scenes
from oryx.data.builders.correspondence.marking import OutputError, load_sam2
from oryx.data.builders.correspondence.marks import read_marks
from oryx.data.builders.correspondence.scenes import find_scenes
from oryx.data.builders.correspondence.settings import MarkSettings
from oryx.data.builders.correspondence.sights import Sight, Sightings
from oryx.errors import ConfigError
from oryx.locks import take_lock


@pytest.fixture
def scenes(made: MadeScene, tmp_path: Path) -> list[Path]:
    """Three scenes, the second of which lacks a mask."""
    for name in ("a", "b", "c"):
        write_plain(made, tmp_path / "in" / name)
    (tmp_path / "in" / "b" / "masks" / "view2.png").unlink()
    return find_scenes([tmp_path / "in"])


def test_broken_scenes_are_named_and_the_others_marked(scenes: list[Path], tmp_path: Path) -> None:
    told = []
    result = mark_scenes(scenes, tmp_path / "out", report=lambda *call: told.append(call))
    assert (result.marked, result.kept) == (["a", "c"], [])
    assert "view2.png' does not exist" in result.broken["b"]
    assert told == [(1, 3, "a"), (2, 3, "b"), (3, 3, "c")]


def test_worker_processes_give_the_same(scenes: list[Path], tmp_path: Path) -> None:
    one = mark_scenes(scenes, tmp_path / "one")
    two = mark_scenes(scenes, tmp_path / "two", workers=2)
    assert (sorted(two.marked), two.broken.keys()) == (one.marked, one.broken.keys())
    for name in ("a", "c"):
        for file in ("marks.json", "sheet.jpg", "views/003.jpg"):
            assert (tmp_path / "one" / name / file).read_bytes() == (
                tmp_path / "two" / name / file
            ).read_bytes()


def test_a_run_goes_on_where_it_was_stopped(scenes: list[Path], tmp_path: Path) -> None:
    mark_scenes(scenes[:1], tmp_path / "out")
    before = (tmp_path / "out" / "a" / "marks.json").stat().st_mtime_ns
    result = mark_scenes(scenes, tmp_path / "out")
    assert (result.marked, result.kept) == (["c"], ["a"])
    assert (tmp_path / "out" / "a" / "marks.json").stat().st_mtime_ns == before


def test_other_settings_are_refused_before_anything_is_done(scenes: list[Path], tmp_path: Path) -> None:
    mark_scenes(scenes[2:], tmp_path / "out")
    with pytest.raises(ConfigError, match=r"marked with other settings \(views 16\)"):
        mark_scenes(scenes, tmp_path / "out", MarkSettings(views=3))
    assert not (tmp_path / "out" / "a").exists()
    result = mark_scenes(scenes, tmp_path / "out", MarkSettings(views=3), overwrite=True)
    assert result.marked == ["a", "c"]


def test_another_scene_of_the_same_name_is_refused(made: MadeScene, tmp_path: Path) -> None:
    one, other, copy = (tmp_path / name / "kitchen" for name in ("one", "other", "copy"))
    out = tmp_path / "out"
    write_plain(made, one)
    write_plain(dataclasses.replace(made, shots=made.shots[::-1]), other)
    shutil.copytree(one, copy)
    mark_scenes([one], out)
    with pytest.raises(ConfigError, match=r"kitchen' was marked from another scene, or .* has changed since"):
        mark_scenes([other], out)
    assert mark_scenes([other], out, overwrite=True).marked == ["kitchen"]
    assert mark_scenes([one], out, overwrite=True).marked == ["kitchen"]
    assert mark_scenes([copy], out).kept == ["kitchen"]


def test_other_names_of_the_same_length_are_a_change(scenes: list[Path], tmp_path: Path) -> None:
    (scenes[0] / "boxes.json").write_text("[]")
    (scenes[0] / "labels.json").write_text('{"1": "chair"}')
    mark_scenes(scenes[:1], tmp_path / "out", MarkSettings(source="masks"))
    (scenes[0] / "labels.json").write_text('{"1": "table"}')
    with pytest.raises(ConfigError, match="has changed since"):
        mark_scenes(scenes[:1], tmp_path / "out", MarkSettings(source="masks"))


def test_a_scene_that_changed_is_not_kept(scenes: list[Path], tmp_path: Path) -> None:
    mark_scenes(scenes[:1], tmp_path / "out")
    shutil.rmtree(scenes[0] / "masks")
    with pytest.raises(ConfigError, match="has changed since; overwrite it"):
        mark_scenes(scenes, tmp_path / "out")


def test_broken_marks_are_refused_unless_they_are_overwritten(scenes: list[Path], tmp_path: Path) -> None:
    mark_scenes(scenes[:1], tmp_path / "out")
    (tmp_path / "out" / "a" / "marks.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"not a file of marks .*; overwrite it \(--overwrite\)"):
        mark_scenes(scenes[:1], tmp_path / "out")
    assert mark_scenes(scenes[:1], tmp_path / "out", overwrite=True).marked == ["a"]
    assert read_marks(tmp_path / "out" / "a").views


def test_one_run_at_a_time_writes_to_an_output(scenes: list[Path], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    lock = take_lock(tmp_path / "out" / ".lock", "")
    assert lock is not None
    with pytest.raises(ConfigError, match="another run is writing to"):
        mark_scenes(scenes, tmp_path / "out")
    lock.release()
    assert mark_scenes(scenes, tmp_path / "out").marked == ["a", "c"]


def test_what_is_no_marked_scene_is_not_touched(scenes: list[Path], tmp_path: Path) -> None:
    (tmp_path / "out" / "a").mkdir(parents=True)
    (tmp_path / "out" / "a" / "thesis.txt").write_text("mine")
    with pytest.raises(ConfigError, match="holds no marks"):
        mark_scenes(scenes, tmp_path / "out", overwrite=True)
    assert (tmp_path / "out" / "a" / "thesis.txt").exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_too_many_broken_scenes_end_the_run(scenes: list[Path], tmp_path: Path, workers: int) -> None:
    shutil.rmtree(scenes[0] / "masks")
    (scenes[0] / "masks").mkdir()
    with pytest.raises(ConfigError, match="2 scenes are broken, more than 1") as caught:
        mark_scenes(scenes, tmp_path / "out", max_broken=1, workers=workers)
    assert "a: " in str(caught.value)
    assert "b: " in str(caught.value)
    assert not list((tmp_path / "out").glob(".*"))


def test_output_that_cannot_be_written_is_no_scenes_fault(scenes: list[Path], tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError, match="cannot be written"):
        mark_scenes(scenes, tmp_path / "out")


def test_a_worker_that_dies(scenes: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Dead(processes.ProcessPoolExecutor):
        def submit(self, fn, /, *args, **kwargs):
            import os

            return super().submit(os._exit, 9)

    monkeypatch.setattr(processes, "ProcessPoolExecutor", Dead)
    with pytest.raises(ConfigError, match="What was marked by then is kept"):
        mark_scenes(scenes, tmp_path / "out", workers=2)


def test_sam2_is_loaded_once_and_for_the_scenes_that_need_it(
    scenes: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Told:
        """A tracker that sees one thing everywhere."""

        loads = 0

        def __init__(self, model: str, device: str) -> None:
            Told.loads += 1

        def identify(self, scene, views):
            return Sightings({0: {place: Sight(60, 80, 900.0) for place in range(len(views))}})

    monkeypatch.setattr("oryx.data.builders.correspondence.sources.sam2.Sam2Source", Told)
    load_sam2.cache_clear()
    shutil.rmtree(scenes[0] / "masks")
    shutil.rmtree(scenes[1] / "masks")
    result = mark_scenes(scenes, tmp_path / "out", MarkSettings(sam2="weights"), workers=4)
    load_sam2.cache_clear()
    sources = [read_marks(tmp_path / "out" / name).source for name in result.marked]
    assert (result.marked, sources) == (["a", "b", "c"], ["sam2", "sam2", "masks"])
    assert Told.loads == 1


def test_wrong_weights_are_no_scenes_fault(scenes: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no SAM 2 weights"):
        mark_scenes(scenes, tmp_path / "out", MarkSettings(sam2=str(tmp_path / "nothing")))


def test_numbers_out_of_range(scenes: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="max_broken is -1"):
        mark_scenes(scenes, tmp_path, max_broken=-1)
    with pytest.raises(ConfigError, match="workers is 0"):
        mark_scenes(scenes, tmp_path, workers=0)
