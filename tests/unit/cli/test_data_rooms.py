"""`oryx data rooms`: what it prints, what it makes, what it refuses before anything is drawn."""

import json

import numpy as np
import pytest
from made_furniture import write_catalogue
from PIL import Image

from oryx.data.rooms import build
from oryx.data.rooms.render import Render
from oryx.data.rooms.scene import Scene
from oryx.data.rooms.store import RoomStore


@pytest.fixture
def catalogue(tmp_path):
    return write_catalogue(tmp_path / "Boxes.sh3f")


@pytest.fixture(autouse=True)
def undrawn(monkeypatch):
    """Empty grey rooms: VTK is not needed."""

    def draw(index, settings, groups, renderer):
        size = settings.height, settings.width
        view = Render(
            Image.new("RGB", size[::-1], "grey"), np.zeros(size, np.uint8), np.ones(size, np.float32)
        )
        camera = {"pose": np.eye(4).tolist(), "intrinsics": np.eye(3).tolist(), "seen": {}}
        return Scene({"room": index, "objects": [], "views": [camera]}, [view])

    monkeypatch.setattr(build, "draw_room", draw)
    monkeypatch.setattr(build, "Renderer", lambda height, width: None)
    monkeypatch.setattr(build, "_renderers", {})


def test_json(run, catalogue, tmp_path):
    out = tmp_path / "out"
    words = ("data", "rooms", out, "--furniture", catalogue, "--rooms", 2, "--size", "32x40", "--json")
    report = {"folder": str(out), "rooms": 2, "drawn": 2, "models": 5}
    report["labels"] = ["bed", "chair", "lamp", "table", "wardrobe"]
    assert json.loads(run(*words).out) == report
    assert json.loads(run(*words).out) == {**report, "drawn": 0}
    assert RoomStore(out).view(1, 0).size == (40, 32)


def test_a_sentence_and_folders_as_scannet_has_them(run, catalogue, tmp_path):
    scans = tmp_path / "scans"
    words = ("--rooms", 1, "--size", "32x40", "--views", "1", "--scannet", scans)
    result = run("data", "rooms", tmp_path / "out", "--furniture", tmp_path, *words)
    assert result.code == 0
    assert "1 rooms in" in result.out
    assert "CREDITS.md" in result.out
    assert (scans / "room000000" / "depth" / "0.png").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--size", "96"), "size is '96'; it must be HEIGHTxWIDTH such as 96x128"),
        (("--size", "33x40"), "multiples of 8"),
        (("--views", "many"), "views is 'many'; it must be MIN-MAX or one number"),
        (("--views", "8-4"), "views is 8-4; allowed is MIN-MAX"),
        (("--objects", "0-3"), "objects is 0-3; allowed is MIN-MAX"),
        (("--catalogues", "Boxers"), "no catalogue 'Boxers'; did you mean 'Boxes'"),
    ],
)
def test_refusals(refused, catalogue, tmp_path, words, message):
    out = tmp_path / "out"
    assert message in refused("data", "rooms", out, "--furniture", catalogue, *words)
    assert not out.exists()


def test_furniture_that_is_not_there(refused, run, tmp_path):
    out = tmp_path / "out"
    assert "gone does not exist" in refused("data", "rooms", out, "--furniture", tmp_path / "gone")
    assert run("data", "rooms", out).code == 2


def test_a_folder_begun_otherwise(refused, run, catalogue, tmp_path):
    words = ("data", "rooms", tmp_path / "out", "--furniture", catalogue, "--rooms", 1, "--size", "32x40")
    assert run(*words).code == 0
    assert "was begun otherwise (seed)" in refused(*words, "--seed", 3)


def test_folders_of_another_stores_rooms_are_refused_before_anything_is_drawn(
    refused, run, catalogue, tmp_path
):
    words = ("--furniture", catalogue, "--rooms", 1, "--size", "32x40", "--scannet", tmp_path / "scans")
    assert run("data", "rooms", tmp_path / "one", *words, "--seed", 1).code == 0
    other = tmp_path / "other"
    assert "scans was begun otherwise (seed)" in refused("data", "rooms", other, *words, "--seed", 2)
    assert not other.exists()


def test_outputs_that_are_files_are_refused_before_anything_is_drawn(refused, catalogue, tmp_path):
    (tmp_path / "file").write_text("mine")
    words = ("--furniture", catalogue, "--rooms", 1, "--size", "32x40")
    assert "is a file; it must be a folder" in refused("data", "rooms", tmp_path / "file", *words)
    out = tmp_path / "out"
    said = refused("data", "rooms", out, *words, "--scannet", tmp_path / "file" / "scans")
    assert "scans cannot be written" in said
    assert not out.exists()
