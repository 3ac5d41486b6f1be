"""`oryx eval rooms`: what it prints, what it writes, what it refuses before the model is loaded."""

import json
import shutil

import pytest
from made_rooms import random_room, write_rooms
from PIL import Image


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_rooms(tmp_path_factory.mktemp("rooms"), [random_room(number) for number in range(2)])


@pytest.fixture
def loads_nothing(monkeypatch):
    def load(*args, **kwargs):
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("oryx.loading.load", load)


def test_json_on_stdout_is_the_file(run, tiny, folder, tmp_path):
    out = tmp_path / "out"
    words = ("eval", "rooms", "--folder", folder, "--model", tiny, "--rooms", 1, "--views", "2")
    small = ("--size", "16x16", "--mark-size", 9, "--questions-per-room", 1, "--compression", 16)
    result = run(*words, *small, "--output", out, "--json")
    assert result.code == 0, result.err
    printed = json.loads(result.out)
    assert printed == json.loads((out / "rooms.json").read_text())
    assert (printed["task"], printed["rooms"], printed["views"]) == ("rooms", 1, [2, 2])
    assert sum(one["num_questions"] for one in printed["groups"] if one["name"] != "numbers") == 1
    assert "--questions-per-room 1 --compression 16 --mark-size 9" in printed["command"]
    assert "| questions | n |" in (out / "rooms.md").read_text()
    assert Image.open(out / "rooms.png").width > 600
    other = run(*words, *small, "--seed", 1, "--output", out)
    assert "results of other settings (--seed 0, not 1)" in other.err
    (out / "rooms.json").write_text('{"model_sha256": "00", "command": ""}')
    again = run(*words, *small, "--output", out)
    assert again.code == 2
    assert "results of another model" in again.err


def test_results_of_other_rooms_are_refused_and_stay(run, refused, tiny, tmp_path):
    write_rooms(tmp_path / "rooms", [random_room(0)])
    words = ("eval", "rooms", "--folder", tmp_path / "rooms", "--model", tiny, "--rooms", 1, "--views", "2")
    words += ("--size", "16x16", "--mark-size", 9, "--questions-per-room", 1, "--compression", 16)
    words += ("--output", tmp_path / "out")
    assert run(*words).code == 0
    before = (tmp_path / "out" / "rooms.json").read_bytes()
    shutil.rmtree(tmp_path / "rooms")
    write_rooms(tmp_path / "rooms", [random_room(1)])
    assert "results of other rooms_sha256; choose another --output" in refused(*words)
    assert (tmp_path / "out" / "rooms.json").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--rooms", 3), "holds 2 rooms; 3 are asked for"),
        (("--rooms", 1, "--views", "1-4"), "views is 1; it must be at least 2"),
        (("--rooms", 1, "--views", "some"), "views is 'some'; it must be MIN-MAX or one number"),
        (("--rooms", 1, "--size", "big"), "size is 'big'; it must be HEIGHTxWIDTH"),
        (("--rooms", 1, "--views", "4-2"), "views are 4-2; the fewest come first."),
        (("--rooms", 1, "--views", "9"), "views are 9; the rooms of"),
        (("--rooms", 1, "--views", "2-9"), "the fewest to show together can be 8, the most 8."),
        (("--rooms", 1, "--compression", 3), "compression 3 is not one of the ratios 1, 2, 4, 8, 16."),
        (("--rooms", 1, "--mark-size", 3), "mark_size"),
        (("--rooms", 1, "--model", "/no/such"), "/no/such"),
    ],
)
def test_refusals(refused, loads_nothing, folder, words, message):
    assert message in refused("eval", "rooms", "--folder", folder, *words)


def test_a_folder_without_rooms(refused, loads_nothing, tmp_path):
    assert "holds no rooms; make them with: oryx data rooms" in refused("eval", "rooms", "--folder", tmp_path)
