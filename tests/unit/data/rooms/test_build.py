"""Stores of rooms: cut runs go on, other settings are refused. Nothing is drawn here."""

import dataclasses
import json
import os

import numpy as np
import pytest
from PIL import Image

from oryx.data import processes
from oryx.data.rooms import build, store
from oryx.data.rooms.build import build_rooms, check_settings
from oryx.data.rooms.render import Render
from oryx.data.rooms.scene import RoomSettings, Scene
from oryx.errors import ConfigError

SETTINGS = RoomSettings(5, (1, 2), (3, 4), 32, 40, 0, 0.5)


@pytest.fixture
def drawn(monkeypatch):
    """Indices of the rooms that are drawn, grey and empty, two a shard."""
    indices = []

    def draw(index, settings, groups, renderer):
        indices.append(index)
        size = settings.height, settings.width
        view = Render(
            Image.new("RGB", size[::-1], (index, 0, 0)), np.zeros(size, np.uint8), np.ones(size, np.float32)
        )
        return Scene({"room": index, "objects": [], "views": [{"seen": {}}]}, [view])

    monkeypatch.setattr(build, "draw_room", draw)
    monkeypatch.setattr(build, "Renderer", lambda height, width: None)
    monkeypatch.setattr(build, "_renderers", {})
    for module in (build, store):
        monkeypatch.setattr(module, "SHARD_ROOMS", 2)
    return indices


def files_of(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_run_that_was_cut_goes_on(tmp_path, furniture, drawn):
    seen = []
    assert build_rooms(tmp_path, furniture, SETTINGS, progress=lambda *done: seen.append(done)) == 5
    assert seen == [(done, 5) for done in range(6)]
    whole = files_of(tmp_path)
    assert len(store.RoomStore(tmp_path)) == 5
    (tmp_path / "rooms-00001.jsonl").unlink()
    drawn.clear()
    assert build_rooms(tmp_path, furniture, SETTINGS) == 2
    assert drawn == [2, 3]
    assert files_of(tmp_path) == whole


def test_full_shards_can_be_added_to(tmp_path, furniture, drawn):
    build_rooms(tmp_path, furniture, dataclasses.replace(SETTINGS, num_rooms=4))
    drawn.clear()
    assert build_rooms(tmp_path, furniture, dataclasses.replace(SETTINGS, num_rooms=7)) == 3
    assert drawn == [4, 5, 6]
    assert json.loads((tmp_path / "settings.json").read_text())["num_rooms"] == 7
    with pytest.raises(ConfigError, match="holds 7 rooms, whose last shard of 2 is not full"):
        build_rooms(tmp_path, furniture, dataclasses.replace(SETTINGS, num_rooms=9))


def test_fewer_rooms_than_there_are_are_refused(tmp_path, furniture, drawn):
    build_rooms(tmp_path, furniture, dataclasses.replace(SETTINGS, num_rooms=6))
    before = files_of(tmp_path)
    with pytest.raises(ConfigError, match="is drawn up to room 6; ask for as many rooms or more"):
        build_rooms(tmp_path, furniture, dataclasses.replace(SETTINGS, num_rooms=3))
    assert files_of(tmp_path) == before


def test_a_run_that_was_cut_at_a_full_shard_may_go_on_for_more_rooms(tmp_path, furniture, drawn):
    build_rooms(tmp_path, furniture, SETTINGS)
    for shard in (1, 2):
        (tmp_path / f"rooms-0000{shard}.jsonl").unlink()
    drawn.clear()
    assert build_rooms(tmp_path, furniture, dataclasses.replace(SETTINGS, num_rooms=7)) == 5
    assert drawn == [2, 3, 4, 5, 6]


def test_depth_is_kept_where_asked(tmp_path, furniture, drawn):
    build_rooms(tmp_path / "with", furniture, SETTINGS, depth=True)
    build_rooms(tmp_path / "without", furniture, SETTINGS)
    assert "0.depth.png" in store.RoomStore(tmp_path / "with")[0]["files"]
    assert "0.depth.png" not in store.RoomStore(tmp_path / "without")[0]["files"]


def test_credits_are_beside_the_rooms(tmp_path, furniture, drawn):
    build_rooms(tmp_path, furniture, SETTINGS)
    assert "Ann Author" in (tmp_path / "CREDITS.md").read_text()
    assert json.loads((tmp_path / "settings.json").read_text())["catalogues"] == ["Boxes"]


def test_the_order_of_catalogues_counts(tmp_path, furniture, drawn):
    both = [*furniture, *(dataclasses.replace(piece, catalogue="Another") for piece in furniture)]
    build_rooms(tmp_path, both, SETTINGS)
    kept = json.loads((tmp_path / "settings.json").read_text())
    assert (kept["catalogues"], kept["catalogue_order"]) == (["Another", "Boxes"], ["Boxes", "Another"])
    with pytest.raises(ConfigError, match=r"was begun otherwise \(catalogue_order\)"):
        build_rooms(tmp_path, both[::-1], SETTINGS)
    del kept["catalogue_order"]  # as stores were kept before
    (tmp_path / "settings.json").write_text(json.dumps(kept))
    assert build_rooms(tmp_path, both, SETTINGS) == 0


@pytest.mark.parametrize("change", [{"seed": 1}, {"height": 40}, {"tinted": 0.0}, {"num_views": (2, 2)}])
def test_a_folder_that_was_begun_otherwise_is_refused(tmp_path, furniture, drawn, change):
    build_rooms(tmp_path, furniture, SETTINGS)
    before = files_of(tmp_path)
    with pytest.raises(ConfigError, match=rf"was begun otherwise \({next(iter(change))}\)"):
        build_rooms(tmp_path, furniture, dataclasses.replace(SETTINGS, **change))
    assert files_of(tmp_path) == before


def test_broken_settings_are_named(tmp_path, furniture, drawn):
    for text in ("{", "[1]"):
        (tmp_path / "settings.json").write_text(text)
        with pytest.raises(ConfigError, match=r"settings\.json cannot be read"):
            build_rooms(tmp_path, furniture, SETTINGS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_rooms": 0}, "rooms is 0; at least 1"),
        ({"num_views": (5, 4)}, "views is 5-4; allowed is MIN-MAX within 1 to 64"),
        ({"num_objects": (0, 4)}, "objects is 0-4; allowed is MIN-MAX within 1 to 40"),
        ({"height": 33}, "size is 33x40; height and width must be multiples of 8"),
        ({"width": 4096}, "from 32 to 2048"),
        ({"tinted": 1.5}, "tinted is 1.5; it must be a share"),
    ],
)
def test_settings_out_of_range_are_named(change, message):
    with pytest.raises(ConfigError, match=message):
        check_settings(dataclasses.replace(SETTINGS, **change))


def test_an_output_that_is_a_file_is_refused(tmp_path, furniture, drawn):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(ConfigError, match="out is a file; it must be a folder"):
        build_rooms(tmp_path / "out", furniture, SETTINGS)
    assert drawn == []


def test_a_worker_that_dies(tmp_path, furniture, drawn, monkeypatch):
    class Dead(processes.ProcessPoolExecutor):
        def submit(self, fn, /, *args, **kwargs):
            return super().submit(os._exit, 9)

    monkeypatch.setattr(processes, "ProcessPoolExecutor", Dead)
    with pytest.raises(ConfigError, match="What was drawn by then is kept"):
        build_rooms(tmp_path, furniture, SETTINGS, workers=2)
