"""What --model_args may say."""

import pytest

from oryx.errors import ConfigError
from oryx.evaluation.lmms.settings import PluginSettings


def test_defaults_are_those_of_the_reference():
    settings = PluginSettings.parse({"batch_size": 1, "max_batch_size": None, "device": None})
    assert settings == PluginSettings()
    assert (settings.model, settings.prompt_style, settings.dials) == ("nano", "eval", {})


def test_digits_may_be_text_and_numbers_text():
    """lmms-eval makes numbers of what looks like one."""
    settings = PluginSettings.parse(
        {"budget": 4096, "model": 7, "batch_size": "4", "fps": 1, "max_frames": 8.0}
    )
    assert (settings.budget, settings.model, settings.batch_size) == ("4096", "7", 4)
    assert settings.dials == {"fps": 1.0, "max_frames": 8}


def test_dials_are_keys_of_a_visual():
    settings = PluginSettings.parse({"compression": 4, "detail": "low", "focus": "00:31-00:40"})
    assert settings.dials == {"compression": 4, "detail": "low", "focus": "00:31-00:40"}


def test_an_unknown_argument_lists_the_allowed():
    with pytest.raises(ConfigError, match=r"no 'pretrained'; allowed: model, vision_tower, .*log_prompts\.$"):
        PluginSettings.parse({"pretrained": "nano"})


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"compression": 3}, "compression"),
        ({"compression": 2.5}, "compression is 2.5; it must be a whole number"),
        ({"batch_size": "auto"}, "batch_size is 'auto'; it must be a whole number"),
        ({"batch_size": 0}, "batch_size is 0; it must be at least 1"),
        ({"max_frames": True}, "max_frames is True; it must be a whole number"),
        ({"fps": "fast"}, "fps is 'fast'; it must be a number"),
        ({"fps": -1}, "fps"),
        ({"detail": "medium"}, "detail"),
        ({"max_pixels": 0}, "max_pixels is 0; it must be at least 1"),
        ({"budget": "much"}, "budget"),
        ({"focus": "later"}, "focus"),
        ({"prompt_style": "test"}, "prompt_style is 'test'; allowed: train, eval"),
        ({"several_images": "film"}, "several_images is 'film'; allowed: images, video, views"),
        ({"missing": "ignore"}, "missing is 'ignore'; allowed: error, skip"),
        ({"too_long": "cut"}, "too_long is 'cut'; allowed: error, skip"),
        ({"duplicates": True}, "duplicates is True; allowed: error, keep"),
    ],
)
def test_a_wrong_value_is_a_sentence(arguments, sentence):
    with pytest.raises(ConfigError, match=sentence):
        PluginSettings.parse(arguments)
