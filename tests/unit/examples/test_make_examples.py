"""The examples: the script draws what the folder holds, and what README.md says about it is so."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from oryx.data.synthetic.scenes import place_of
from oryx.data.synthetic.words import word_split_of
from oryx.media.video import open_clip
from oryx.media.views import list_views

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("make_examples", EXAMPLES / "make_examples.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def drawn(script, tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples")
    script.main(folder)
    return folder


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB"), dtype=np.int16)


@pytest.mark.parametrize("name", ["object.png", "scene.png", *[f"room/view{k}.png" for k in (1, 2, 3, 4)]])
def test_committed_pictures_are_the_drawn_ones(drawn, name):
    assert np.array_equal(pixels(EXAMPLES / name), pixels(drawn / name))


@pytest.mark.parametrize("name", ["word.png", "sign.png"])
def test_committed_words_are_the_drawn_ones(drawn, name):
    # Versions of FreeType differ in how they smooth an edge, not in where the letters are.
    assert np.abs(pixels(EXAMPLES / name) - pixels(drawn / name)).mean() < 8


@pytest.mark.parametrize(("name", "number"), [("order.mp4", 12), ("moving.mp4", 8)])
def test_committed_videos_show_the_drawn_frames(script, name, number):
    frames = script.order_frames() if name == "order.mp4" else script.moving_frames()
    shown = [np.asarray(frame.image, dtype=np.int16) for frame in open_clip(EXAMPLES / name).frames]
    assert len(shown) == len(frames) == number
    for frame, image in zip(shown, frames, strict=True):
        # The codec keeps half the resolution of colour, so edges of objects differ.
        assert np.abs(frame - np.asarray(image, dtype=np.int16)).mean() < 6


def test_views_are_in_order():
    assert [path.name for path in list_views(EXAMPLES / "room")] == [f"view{k}.png" for k in (1, 2, 3, 4)]


def test_words_are_never_trained_on():
    assert {word_split_of(word) for word in ("water", "hello")} == {"test"}


@pytest.mark.parametrize(
    ("y", "x", "place"), [(28, 30, "top left"), (30, 84, "top right"), (70, 28, "bottom left")]
)
def test_places_of_the_scene_are_clear(script, y, x, place):
    assert place_of(script.make_thing("red circle", y, x, 30), 96, 112) == place


def test_folder_is_small():
    assert sum(path.stat().st_size for path in EXAMPLES.rglob("*") if path.is_file()) < 500_000
