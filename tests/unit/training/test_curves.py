"""Pictures of losses: where the line is, how parts stand side by side, and logs that are damaged or empty."""

import json

import numpy as np
import pytest
from PIL import Image

from oryx.training import curves as module
from oryx.training.curves import Curve, draw_curves, read_curve, smooth


def curve(losses, name="part", every=10):
    return Curve(name, tuple(range(every, every * len(losses) + 1, every)), tuple(losses))


def pixels(file):
    return np.asarray(Image.open(file).convert("RGB")).astype(int)


def line_heights(file):
    """Column -> mean row of the dark blue line; columns without it are left out."""
    picture = pixels(file)
    is_line = (abs(picture - module._LINE) < 60).all(-1)
    return {x: is_line[:, x].nonzero()[0].mean() for x in range(picture.shape[1]) if is_line[:, x].any()}


def borders(file):
    """Columns of the lines between parts: grey from top to bottom."""
    picture = pixels(file)[60:400]
    is_border = (abs(picture - module._BORDER) < 60).all(-1).mean(0) > 0.9
    return [x for x in is_border.nonzero()[0] if not is_border[x - 1]]


def test_a_falling_loss_falls(tmp_path):
    file = draw_curves([curve(np.linspace(4, 1, 50))], tmp_path / "loss.png", "loss of run")
    assert Image.open(file).size == (module.WIDTH, module.HEIGHT)
    heights = line_heights(file)
    columns = sorted(heights)
    assert len(columns) > 800
    assert all(
        heights[right] >= heights[left] - 1 for left, right in zip(columns[:-40:20], columns[20:-20:20])
    )
    assert heights[columns[-1]] > heights[columns[0]] + 150
    assert [path.name for path in tmp_path.iterdir()] == ["loss.png"]


def test_parts_stand_side_by_side_as_wide_as_they_are_long(tmp_path):
    parts = [curve([3, 2, 2], "one"), curve([2] * 6, "two"), curve([1] * 3, "three")]
    found = borders(draw_curves(parts, tmp_path / "loss.png"))
    width = module.WIDTH - module._LEFT - module._RIGHT
    assert found == pytest.approx([module._LEFT + width / 4, module._LEFT + 3 * width / 4], abs=2)


def test_a_wide_range_is_logarithmic(tmp_path):
    """Ten times less is equally far down, wherever it begins."""
    file = draw_curves([curve([10] * 100), curve([1] * 100), curve([0.1] * 100)], tmp_path / "loss.png")
    heights = line_heights(file)
    third = (module.WIDTH - module._LEFT - module._RIGHT) // 3
    high, middle, low = (heights[module._LEFT + third // 2 + part * third] for part in range(3))
    assert middle - high == pytest.approx(low - middle, abs=2)
    assert middle - high > 100


def test_one_point_and_equal_points_are_drawn(tmp_path):
    assert line_heights(draw_curves([curve([2.0])], tmp_path / "one.png"))
    assert line_heights(draw_curves([curve([0.0, 0.0])], tmp_path / "zero.png"))
    assert line_heights(draw_curves([curve([-1.0, -2.0])], tmp_path / "below.png"))


def test_nothing_to_draw_leaves_no_file(tmp_path):
    assert draw_curves([Curve("none", (), ())], tmp_path / "loss.png") is None
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_refuses_leaves_the_old_picture(tmp_path, monkeypatch):
    file = draw_curves([curve([2.0, 1.0])], tmp_path / "loss.png")
    before = file.read_bytes()

    def refuse(self, path, **_):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", refuse)
    with pytest.raises(OSError, match="No space"):
        draw_curves([curve([1.0, 2.0])], file)
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["loss.png"]


def test_a_log_is_read_and_what_is_broken_passed_over(tmp_path):
    log = tmp_path / "log.jsonl"
    lines = [{"step": 1, "loss": 3.0, "minutes": 0.5}, {"step": 2, "loss": 2.0, "minutes": 1.25}]
    log.write_text(
        "\n".join(map(json.dumps, lines)) + '\n{"step": 3, "loss": NaN}\n{"lr": 1}\n[]\n{"step": 4, "lo'
    )
    assert read_curve(log, "run") == Curve("run", (1, 2), (3.0, 2.0), 1.25)
    assert read_curve(tmp_path / "none.jsonl") == Curve("", (), ())


def test_the_few_steps_before_a_stop_are_counted_with_the_next(tmp_path):
    log = tmp_path / "log.jsonl"
    lines = [(10, 3.0), (20, 2.0), (21, 9.0), (22, 7.0), (30, 1.5), (40, 1.0), (44, 0.5)]
    log.write_text("".join(json.dumps({"step": step, "loss": loss}) + "\n" for step, loss in lines))
    assert read_curve(log) == Curve("", (10, 20, 30, 40, 44), (3.0, 2.0, pytest.approx(2.8), 1.0, 0.5))


def test_smoothing_keeps_the_level_from_the_first_point_on():
    assert smooth([2.0] * 500) == pytest.approx([2.0] * 500)
    rough = smooth([1.0, 3.0] * 250)
    assert max(abs(mean - 2) for mean in rough[100:]) < 0.1
    assert smooth([5.0, 1.0]) == [5.0, 1.0]


def test_ticks_are_round():
    assert list(module._ticks(0, 12300)) == [0, 5000, 10000]
    assert list(module._ticks(0, 2.3)) == [0, 0.5, 1, 1.5, 2]
    assert list(module._log_ticks(0.15, 6)) == [0.2, 0.5, 1, 2, 5]
