"""The report says all that was measured, keeps other models' results, and is written whole or not at all."""

import json
import os
from dataclasses import replace

import pytest
from PIL import Image

from oryx.errors import ConfigError
from oryx.evaluation.needle import report as needle_report
from oryx.evaluation.needle.evaluate import NeedleAnswer, NeedleCost, NeedleResult, NeedleShare, NeedleTest
from oryx.evaluation.needle.report import (
    NeedleModel,
    NeedlePage,
    cost_table,
    save_page,
    share_table,
)

TEST = NeedleTest(frames=(100, 1600), depths=(0.0, 50.0), trials=2)


def result(num_right=1):
    cells = [
        NeedleShare(num_right, 2, num_right / 2, (0.1, 0.9), frames, depth)
        for frames in TEST.frames
        for depth in TEST.depths
    ]
    totals = [
        NeedleShare(2 * num_right, 4, num_right / 2, (0.15, 0.85), frames, None) for frames in TEST.frames
    ]
    costs = [
        NeedleCost(frames, 3 * frames + 2, 3.0, 3 * frames + 25, 0.5, 0.25, 400 * 2**20, 450 * 2**20)
        for frames in TEST.frames
    ]
    answers = [
        NeedleAnswer(frames, 50.0, 50, trial, trial, "What color?", "red", said, said == "red", said == "red")
        for frames in TEST.frames
        for trial, said in enumerate(("red", "red" if num_right == 2 else "blue"))
    ]
    return NeedleResult(cells, totals, costs, answers)


@pytest.fixture
def page():
    models = tuple(
        NeedleModel(name, sha * 32, 2_000_000, "float32", "cpu", result(num_right))
        for name, sha, num_right in (("nano", "ab", 2), ("plain", "cd", 1))
    )
    return NeedlePage(TEST, "drawn 32x32, seed 0", "drawn", 0, "oryx eval needle --compare plain", models)


def test_shares_by_depth_and_length():
    assert share_table(result(), TEST) == (
        "| depth | 100 frames | 1,600 frames |\n"
        "|---|---|---|\n"
        "| 0% | 50% (1/2) | 50% (1/2) |\n"
        "| 50% | 50% (1/2) | 50% (1/2) |\n"
        "| all | 50.0% (15.0% to 85.0%, n = 4) | 50.0% (15.0% to 85.0%, n = 4) |\n"
    )


def test_costs_by_length():
    lines = cost_table(result()).splitlines()
    assert lines[-1] == "| 1,600 | 3 | 4,802 | 4,825 | 0.5 s | 0.25 s | 400 MiB | 450 MiB |"


def test_the_page_names_everything(page):
    text = page.to_markdown()
    for part in (
        "# Needles in haystacks: nano, plain",
        "`oryx eval needle --compare plain`",
        "compression 16x, at most 3 tokens a frame (measured",
        "right is the expected text",
        "## plain",
        "`" + "cd" * 32 + "`",
        "- 100 frames, 50%: What color? 'red', not 'blue'",
        "## nano over plain",
        "| 1,600 | +50.0 (-50.0 to +100.0) |",  # of two needles
        "a bootstrap that draws needles, one more that is all better",
        "torch ",
    ):
        assert part in text


def test_the_json_holds_every_answer(page):
    content = json.loads(json.dumps(page.to_dict()))
    assert (content["task"], content["compression"], content["trials"]) == ("needle", 16, 2)
    first, second = content["models"]
    assert (first["model"], second["model_sha256"]) == ("nano", "cd" * 32)
    assert second["answers"][1]["answer"] == "blue"
    assert (second["answers"][1]["matches"], second["answers"][1]["contains"]) == (False, False)
    assert content["gains"][0] == {"frames": 100, "difference": 0.5, "interval": [-0.5, 1.0]}
    assert first["costs"][1]["tokens_per_frame"] == 3.0
    assert first["cells"][0]["interval"] == [0.1, 0.9]


def test_one_model_is_compared_with_none(page):
    alone = replace(page, models=page.models[:1])
    assert alone.gains() == {}
    assert alone.to_dict()["gains"] == []
    assert " over " not in alone.to_markdown()


def test_files_are_written_and_replaced_by_the_same_models_only(page, tmp_path):
    paths = save_page(page, tmp_path / "out")
    assert [path.name for path in paths] == ["needle.json", "needle.md", "needle.png"]
    assert Image.open(paths[2]).format == "PNG"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [path.name for path in paths]
    save_page(page, tmp_path / "out")
    with pytest.raises(ConfigError, match=r"results of another model \(SHA-256 abababababab, cdcdcdcdcdcd"):
        save_page(replace(page, models=page.models[:1]), tmp_path / "out")
    with pytest.raises(ConfigError, match=r"of other settings \(no --seed\)"):
        save_page(replace(page, command=page.command + " --seed 1"), tmp_path / "out")


def test_a_disk_that_refuses_the_map(page, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    monkeypatch.setattr(needle_report, "write_text", lambda path, text: path)
    (tmp_path / "out").mkdir()
    with pytest.raises(ConfigError, match="No space left on device"):
        save_page(page, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
