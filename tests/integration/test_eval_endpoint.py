"""`oryx eval --url` behind `oryx serve`: the answers are those of the same weights in memory."""

import json

import pytest
from made_qa import write_scanqa
from made_rooms import random_room, write_rooms
from served import served

from oryx.cli.main import main

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def url():
    with served("--model", "nano", "--device", "cpu", "--engine", "transformers") as server:
        yield server.url


@pytest.fixture
def both(url, tmp_path):
    """(words of a command) -> its results folder for the weights, and for the server."""

    def measure(*words):
        for name, who in (("here", ("--model", "nano", "--device", "cpu")), ("there", ("--url", url))):
            assert main(["eval", *map(str, words), *who, "--output", str(tmp_path / name)]) == 0
        return tmp_path / "here", tmp_path / "there"

    return measure


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_skills(both):
    tests = ("color", "place", "video_first_last", "picture_difference", "needle_100")
    small = ("--samples", 3, *(word for test in tests for word in ("--test", test)))
    here, there = both("skills", *small)
    assert lines(here / "skills.answers.jsonl") == lines(there / "skills.answers.jsonl")
    content = json.loads((there / "skills.json").read_text())
    assert (content["model"], content["model_sha256"]) == ("nano", None)


def test_dials(both):
    here, there = both(
        "skills",
        "--samples",
        4,
        "--test",
        "color",
        "--compression",
        4,
        "--max-pixels",
        2048,
        "--detail",
        "low",
    )
    assert lines(here / "skills.answers.jsonl") == lines(there / "skills.answers.jsonl")


def test_needle(both):
    here, there = both("needle", "--frames", "20,90", "--depths", "3", "--trials", 2)
    answers = [
        json.loads((folder / "needle.json").read_text())["models"][0]["answers"] for folder in (here, there)
    ]
    assert answers[0] == answers[1]
    assert sum(answer["matches"] for answer in answers[0]) > 8


def test_rooms(both, tmp_path):
    folder = write_rooms(tmp_path / "rooms", [random_room(number) for number in range(2)])
    here, there = both(
        "rooms",
        "--folder",
        folder,
        "--rooms",
        2,
        "--views",
        "2-3",
        "--size",
        "64x96",
        "--questions-per-room",
        3,
    )
    assert lines(here / "rooms.answers.jsonl") == lines(there / "rooms.answers.jsonl")


def test_scanqa(both, tmp_path):
    here, there = both("scanqa", write_scanqa(tmp_path), "--max-new-tokens", 8)
    assert lines(here / "scanqa.answers.jsonl") == lines(there / "scanqa.answers.jsonl")
    contents = [json.loads((folder / "scanqa.json").read_text()) for folder in (here, there)]
    assert contents[0]["visual_tokens"] == contents[1]["visual_tokens"] > 0
