"""Skills' settings: what is wrong is named, and what is allowed."""

import pytest

from oryx.data.synthetic import SKILLS, make_source
from oryx.errors import ConfigError

DEFAULT_FONT = {"fonts": ["default"]}


def test_lists_become_tuples_and_one_number_is_a_range():
    source = make_source({"scene": {"canvas": [64, 96], "turns": 2, "compression": 4}}, seed=0)
    settings = source.skills["scene"][1].settings
    assert (settings.canvas, settings.turns, settings.compression) == ((64, 96), (2, 2), (4,))


def test_lists_of_texts_become_tuples_and_one_text_is_a_list():
    settings_type = SKILLS["things"][0]
    settings = settings_type(styles=["noto", "clipart"], names="cat")
    assert (settings.styles, settings.names) == (("noto", "clipart"), ("cat",))
    settings_type = SKILLS["words"][0]
    assert settings_type(fonts="test").fonts == "test"  # a set of families, not a family
    assert settings_type(fonts=["Lato"]).fonts == ("Lato",)


@pytest.mark.parametrize(
    ("skills", "message"),
    [
        ({}, "at least one skill"),
        ({"scenes": {}}, "did you mean 'scene'"),
        ({"scene": {"num_object": [1, 2]}}, "did you mean 'num_objects'"),
        ({"scene": {"zzz": 1}}, "has no setting 'zzz' \\(known: .*canvas"),
        ({"scene": {"weight": 0}}, "weight is 0; it must be a finite number above 0"),
        ({"scene": {"weight": "much"}}, "weight is 'much'"),
        (
            {"scene": {"canvas": [96, 64]}},
            r"'canvas' is \[96, 64\]; it must be \[min, max\] within 16 to 4096",
        ),
        ({"scene": {"canvas": [4, 64]}}, "within 16 to 4096"),
        ({"scene": {"canvas": "large"}}, "'canvas' is 'large'"),
        ({"scene": {"canvas": [32.5, 64]}}, "'canvas'"),
        ({"scene": {"compression": [3]}}, "must be a list of some of 1, 2, 4, 8, 16"),
        ({"scene": {"compression": []}}, "must be a list of some of"),
        ({"scene": {"colors": ["pink"]}}, "'colors' is .*red, green"),
        ({"scene": {"background": "wild"}}, "one of varied, plain, white"),
        ({"scene": {"marks": "yes"}}, "'marks' is 'yes'; it must be true or false"),
        ({"scene": {"min_object": 40, "canvas": [64, 64]}}, "at most half of the smallest canvas side, 32"),
        ({"scene": {"colors": ["white"], "background": "white"}}, "another colour"),
        (
            {"words": {**DEFAULT_FONT, "rotation": 90}},
            "'rotation' is 90; it must be a number from 0.0 to 45.0",
        ),
        ({"words": {**DEFAULT_FONT, "words": "dictionary", "letters": [1, 3]}}, "it must lie in 3 to 6"),
        ({"words": {"fonts": "all"}}, "'fonts' is 'all'; it must be train, test or a list"),
        ({"words": {"fonts": 5}}, "Skill 'words': Setting 'fonts' is 5; it must be a list of texts"),
        ({"pages": {"fonts": [None]}}, r"'fonts' is \[None\]; it must be a list of texts"),
        ({"words": {"font_folders": [1]}}, r"'font_folders' is \[1\]; it must be a list of texts"),
        ({"things": {"pictures": 5}}, "'pictures' is 5; it must be a text"),
        ({"things": {"styles": {"a": 1}}}, "'styles' is {'a': 1}; it must be a list of texts"),
        ({"things": {"names": [["cat"]]}}, "'names' is .*; it must be a list of texts"),
        ({"rooms": {"folder": 5}}, "'folder' is 5; it must be a text"),
        ({"scene": {"min_object": 3}}, r"'min_object' is 3; it must be a whole number from 4 to 512\.$"),
        ({"things": {"min_thing": 9.5}}, r"'min_thing' is 9.5; it must be a whole number from 8 to 512\.$"),
        *(
            (
                {skill: {"questions": questions, "described": 0.5}},
                f"Skill '{skill}': Setting 'described' is 0.5; with no question but describe it must be 1",
            )
            for skill in ("object", "scene", "video_order", "things")
            for questions in ("describe", ["describe", "describe"])
        ),
        (
            {"video_order": {"num_frames": [2, 8], "num_events": [2, 3]}},
            "must not exceed the fewest frames, 2",
        ),
        ({"things": {"min_thing": 40, "canvas": 40}}, "'min_thing' is 40; it must be at most 36"),
        ({"things": {"pictures": "/no/store"}}, "No store of pictures at /no/store; `oryx data pictures"),
        ({"things": {"split": "all"}}, "one of train, test, new_style"),
        ({"pages": {**DEFAULT_FONT, "words": "dictionary", "letters": [1, 3]}}, "it must lie in 3 to 6"),
        ({"pages": {**DEFAULT_FONT, "font_size": 100, "max_side": 128}}, "do not fit 'max_area' 16384"),
        ({"pages": {**DEFAULT_FONT, "num_lines": 10}}, "within 1 to 9"),
        ({"video_order": {"shapes": ["ring"], "colors": ["red", "blue"]}}, "as many different objects"),
        ({"needle": {"num_frames": [2, 9]}}, "'num_needles' is .*must not exceed 2, the least of"),
        ({"needle": {"questions": "object"}}, "with no question but object it must be 1"),
        ({"needle": {"num_frames": [16, 4096]}}, "within 1 to 2048"),
        ({"frame_at": {"shapes": ["ring"], "colors": ["red", "blue"]}}, "two different objects or more"),
        ({"frame_at": {"cuts": "none"}}, "one of mixed, scene, object"),
        ({"frame_difference": {"colors": ["red", "blue"]}}, "for a change of color it must hold 3 or more"),
        ({"picture_difference": {"shapes": ["ring"]}}, "for a change of shape it must hold 2 or more"),
    ],
)
def test_mistakes_are_named(skills, message):
    with pytest.raises(ConfigError, match=message):
        make_source(skills, seed=0)


@pytest.mark.parametrize("skill", list(SKILLS))
def test_settings_are_frozen_and_documented(skill):
    settings_type = SKILLS[skill][0]
    settings = settings_type()
    with pytest.raises(AttributeError):
        settings.marks = False
    assert settings_type.__doc__.startswith("Settings of")
