"""From the page's controls to dials, and back to a request's words."""

from __future__ import annotations

import pytest

from oryx.errors import ConfigError
from oryx.processing.budget import Budget
from oryx.processing.geometry import ResizeRule
from oryx.web.settings import NAMES, Settings, read_settings, values_by_name, widest_side


def read(**values):
    return read_settings(values, widest=128, most_frames=256)


def test_untouched_controls_turn_nothing():
    settings = read(compression="auto", max_frames=64, side=128, tokens="", memory=None, focus=" ")
    assert settings == Settings()
    assert settings.dials == {}
    assert settings.request_dials == {}
    assert settings.budget is None


def test_every_dial_arrives():
    settings = read(
        compression="8",
        max_frames=12,
        side=32,
        focus=" 0:01-0:02 ",
        fps="2.5",
        detail="low",
        extras=["timestamps", "keyframes"],
        tokens="300",
        memory="1.5",
        seconds="2",
        prompt_style="eval",
        max_new_tokens=9,
        temperature=0.5,
    )
    assert settings.dials == {
        "compression": 8,
        "max_frames": 12,
        "max_pixels": 32 * 32,
        "focus": "0:01-0:02",
        "fps": 2.5,
        "detail": "low",
        "timestamps": True,
        "keyframes": True,
    }
    assert settings.budget == Budget(300, 1_500_000_000, 2.0)
    assert settings.request_dials["budget"] == {"tokens": 300, "memory": 1_500_000_000, "seconds": 2.0}
    assert settings.request_dials["prompt_style"] == "eval"
    assert Budget.parse(settings.request_dials["budget"]) == settings.budget
    assert (settings.max_new_tokens, settings.temperature) == (9, 0.5)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"max_frames": 257}, "frames can be 1 to 256"),
        ({"max_frames": 0}, "frames can be 1 to 256"),
        ({"max_frames": 2.5}, "whole number"),
        ({"fps": "fast"}, "frames a second must be a number"),
        ({"fps": "inf"}, "must be a number"),
        ({"tokens": "12.5"}, "whole number"),
        ({"side": 0}, "at least 1 pixel"),
        ({"max_new_tokens": 10**6}, "1 to 2,048 tokens"),
        ({"temperature": 3}, "0 to 2"),
    ],
)
def test_numbers_that_cannot_be(values, words):
    with pytest.raises(ConfigError, match=words):
        read(**values)


@pytest.mark.parametrize("values", [{"tokens": "0"}, {"memory": "-1"}, {"seconds": "0"}])
def test_a_budget_of_nothing(values):
    with pytest.raises(ConfigError, match="not above 0"):
        _ = read(**values).budget


def test_values_come_in_the_order_of_the_controls():
    assert values_by_name(range(len(NAMES)))[NAMES[3]] == 3
    with pytest.raises(ValueError, match="shorter"):
        values_by_name([1])


def test_widest_side():
    assert widest_side(None) == 1536
    assert widest_side(ResizeRule(native_area=100**2, video_max_area=300**2)) == 300
