"""Data loading: a recipe without its materials is left out, and batches made beforehand are the same."""

import json
import os

import pytest

from oryx.training.batch import STATS, BatchStats


@pytest.fixture
def kept(monkeypatch, tmp_path):
    """The benchmark's own folder and cache end with the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", os.environ.get("XDG_CACHE_HOME", str(tmp_path)))


def test_a_recipe_without_its_materials_is_left_out_with_a_sentence(kept, run, capsys, tmp_path):
    run("data_loading", "--recipes", "joint_sft/1_videos", "--root", tmp_path, "--records", 0)
    assert "joint_sft/1_videos is left out: " in capsys.readouterr().out
    assert json.loads((tmp_path / "report.json").read_text())["figures"] == []


class Drawn:
    identity = ""

    def __getitem__(self, number):
        return {"number": number, STATS: BatchStats(1, 90 + number, 100, ())}


def test_batches_made_beforehand_come_again_with_their_statistics(load):
    made = load("data_loading").MadeBatches(Drawn(), 3)
    for number in (0, 1, 2, 3):
        batch = made[number]
        assert (batch["number"], batch.pop(STATS).num_positions) == (number % 3, 90 + number % 3)
    assert made.fill() == pytest.approx(0.91)
