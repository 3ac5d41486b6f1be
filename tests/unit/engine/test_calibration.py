"""Calibration: costs that are there come out, none is below 0, and every model has a speed."""

import numpy as np
import pytest
import torch
from factories import make_model, make_processor

from oryx.engine import calibration
from oryx.engine.calibration import fit_nonnegative, measure_speed, write_clip
from oryx.media.video import probe_video
from oryx.processing.speed import Speed


def test_costs_are_found_again():
    rng = np.random.default_rng(0)
    costs = np.array([0.5, 1e-3, 1e-7])
    counts = [3, 20, 400, 2000, 5000]
    rows = [[1.0, count, count**2] for count in counts]
    seconds = np.array(rows) @ costs
    assert fit_nonnegative(rows, seconds) == pytest.approx(costs, rel=1e-6)
    noisy = fit_nonnegative(rows, seconds * rng.uniform(0.97, 1.03, len(counts)))
    assert np.array(rows) @ noisy == pytest.approx(seconds, rel=0.06)


def test_no_cost_is_below_zero():
    rows = [[1.0, 1.0, 1.0], [1.0, 10.0, 100.0], [1.0, 20.0, 400.0]]
    found = fit_nonnegative(rows, [1.0, 5.0, 9.0])  # slower growth than linear
    assert min(found) >= 0
    assert max(found) > 0


@pytest.fixture
def small_clip(monkeypatch):
    for name, value in (("CLIP_HEIGHT", 48), ("CLIP_WIDTH", 64), ("CLIP_FRAMES", 20), ("REPEATS", 1)):
        monkeypatch.setattr(calibration, name, value)


def test_every_part_of_a_small_model_is_measured(small_clip):
    steps = []
    model, processor = make_model(), make_processor()
    speed = measure_speed(
        model.config, processor, torch.float32, torch.device("cpu"), lambda *step: steps.append(step)
    )
    assert isinstance(speed, Speed)
    assert speed.dtype == "float32"
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    assert steps[-1] == (calibration.NUM_STEPS, calibration.NUM_STEPS)
    assert speed.prefill_seconds(100) > 0
    assert max(speed.call, speed.view, speed.patch, speed.patch_pair) > 0  # a clock decides which
    assert max(getattr(speed, part) for part in calibration.PARTS) > 0


def test_a_large_model_is_extrapolated(small_clip, monkeypatch):
    """Two builds of one and two layers stand for all layers."""
    monkeypatch.setattr(calibration, "WHOLE", 0)
    model = make_model()
    probe = calibration._Probe(model.config, make_processor(), torch.float32, torch.device("cpu"))
    assert [each.config.text_config.num_hidden_layers for each in probe.models] == [1, 2]
    assert [len(each.vision_tower.blocks) for each in probe.models] == [1, 2]
    monkeypatch.setattr(probe, "time", lambda run: float(run()))
    seconds = probe.seconds(lambda each: 1.0 + 2.0 * each.config.text_config.num_hidden_layers, layers=30)
    assert seconds == pytest.approx(61.0)


def test_the_clip_is_as_people_have_them(small_clip, tmp_path):
    write_clip(tmp_path / "clip.mp4", 48, 64)
    info = probe_video(tmp_path / "clip.mp4")
    assert (info.height, info.width, info.num_frames) == (48, 64, 20)
    assert len(info.timeline.keyframes) == 4
