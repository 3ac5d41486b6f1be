"""The machine's speed: kept for each model, read without torch, and honest about what it does not know."""

import json
import logging
from dataclasses import asdict, replace

import pytest

from oryx.errors import ConfigError
from oryx.processing.budget import Planner
from oryx.processing.costs import ModelSizes
from oryx.processing.forecast import Reading
from oryx.processing.geometry import ResizeRule, View
from oryx.processing.speed import Speed, calibration_file, read_speed, write_speed

SIZES = ModelSizes.from_settings(
    {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_channels": 3},
    {
        "hidden_size": 24,
        "intermediate_size": 40,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "vocab_size": 99,
    },
    compressor_dim=8,
    dtype="bfloat16",
)
SPEED = Speed(
    call=0.1,
    view=0.01,
    patch=0.001,
    patch_pair=1e-6,
    prefill=0.2,
    position=0.002,
    position_pair=1e-6,
    open_file=0.003,
    picture_pixel=1e-8,
    picture_byte=1e-9,
    view_pixel=5e-9,
    frame=0.001,
    frame_pixel=2e-8,
    decoded_pixel=1e-9,
    sought_pixel=5e-10,
    overlap=0.5,
    dtype="float32",
)


def test_kept_for_each_model_dtype_and_device(tmp_path):
    file = tmp_path / "deep" / "calibration.json"
    other = replace(SIZES, compressor_dim=16)
    assert read_speed(SIZES, file=file) is None
    write_speed(SPEED, SIZES, {"auto", "float32"}, {"auto"}, file)
    write_speed(replace(SPEED, call=0.7), other, {"auto", "float32"}, {"auto"}, file)
    assert read_speed(SIZES, file=file) == SPEED
    assert read_speed(SIZES, "float32", file=file) == SPEED
    assert read_speed(other, file=file).call == 0.7
    assert read_speed(SIZES, "bfloat16", file=file) is None
    assert read_speed(SIZES, "auto", "cuda", file=file) is None
    # The dtype is part of what was asked for, not of the model.
    assert read_speed(replace(SIZES, dtype="float16"), file=file) == SPEED


def test_a_broken_file_is_named_and_written_anew(tmp_path, caplog):
    file = tmp_path / "calibration.json"
    file.write_text("{")
    with caplog.at_level(logging.WARNING, logger="oryx"):
        assert read_speed(SIZES, file=file) is None
    assert "calibrate anew" in caplog.text
    write_speed(SPEED, SIZES, {"auto", "float32"}, {"auto"}, file)
    assert read_speed(SIZES, file=file) == SPEED


def test_another_release_had_other_parts(tmp_path):
    file = tmp_path / "calibration.json"
    write_speed(SPEED, SIZES, {"auto", "float32"}, {"auto"}, file)
    content = json.loads(file.read_text())
    for entry in content.values():
        del entry["view"]
    file.write_text(json.dumps(content))
    assert read_speed(SIZES, file=file) is None


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be kept"):
        write_speed(SPEED, SIZES, {"auto", "float32"}, {"auto"}, tmp_path / "file" / "calibration.json")


def test_the_file_lies_in_the_users_cache():
    assert calibration_file().name == "calibration.json"
    assert "oryx" in calibration_file().parts


def test_seconds_add_up():
    views = [View(64, 64, (4, 4), 4)] * 3 + [View(128, 128, (8, 8), 4)]
    patches, pairs = 3 * 16 + 64, 3 * 16**2 + 64**2
    assert SPEED.vision_seconds(views) == pytest.approx(0.1 + 4 * 0.01 + patches * 0.001 + pairs * 1e-6)
    assert SPEED.vision_seconds([]) == 0
    assert SPEED.prefill_seconds(100) == pytest.approx(0.2 + 0.2 + 0.01)
    assert SPEED.encode_seconds(1.0, 4.0) == pytest.approx(4.5)
    reading = Reading(2, 10**6, 10**5, 10**6, 3, 10**6, 10**7, 10**7)
    seconds = 0.006 + 0.01 + 0.0001 + 0.005 + 0.003 + 0.02 + 0.01 + 0.005
    assert reading.seconds(SPEED) == pytest.approx(seconds)


def test_time_is_a_budget(video):
    planner = Planner(ResizeRule(), SIZES, SPEED)
    visual = {"type": "video", "video": video(num_frames=100, rate=10)}
    for seconds in (2.0, 5.0, 20.0):
        settled = planner.spend([visual], {"seconds": seconds})
        plan = planner.forecast(settled, 0)
        assert 0.4 * seconds < plan.seconds["total"] <= seconds
    with pytest.raises(ConfigError, match=r"the least possible for this request is .* s"):
        planner.spend([visual], "100ms")


def test_a_plan_says_its_seconds(video):
    visual = {"type": "video", "video": video()}
    planner = Planner(ResizeRule(), SIZES, SPEED)
    plan = planner.forecast([visual]).to_dict()
    parts = plan["seconds"]
    hidden = SPEED.overlap * min(parts["read"], parts["vision"])
    assert parts["total"] == pytest.approx(
        parts["read"] + parts["vision"] + parts["prefill"] - hidden, abs=1e-3
    )
    assert "seconds" not in Planner(ResizeRule(), SIZES).forecast([visual]).to_dict()
    assert set(asdict(SPEED)) >= {"overlap", "dtype"}
