"""Sources: deterministic in (seed, index), mixed by weight, without state."""

import collections
import pickle

import numpy as np
import pytest

from oryx.data.synthetic import SKILLS, make_source, vocabulary
from oryx.errors import ConfigError

DRAWN = sorted(set(SKILLS) - {"rooms"})
"""Rooms are rendered first; that skill has tests of its own."""


@pytest.fixture
def all_skills(picture_store):
    """Settings under which every skill draws without anything installed."""
    fonts = {"fonts": ["default"]}
    return {
        **{skill: {} for skill in DRAWN},
        "words": fonts,
        "pages": fonts,
        "things": {"pictures": picture_store},
    }


def same(one, other):
    """Whether two samples are equal, pixels included."""
    if (one.skill, one.conversations) != (other.skill, other.conversations):
        return False
    for a, b in zip(one.visuals, other.visuals, strict=True):
        frames = [[v["image"]] if "image" in v else v["video"] for v in (a, b)]
        if a.get("marks") != b.get("marks") or a["compression"] != b["compression"]:
            return False
        if not all(np.array_equal(np.asarray(x), np.asarray(y)) for x, y in zip(*frames, strict=True)):
            return False
    return True


def test_samples_depend_on_seed_and_index_alone(all_skills):
    source = make_source(all_skills, seed=0)
    forwards = [source[index] for index in range(20)]
    again = make_source(all_skills, seed=0)
    backwards = [again[index] for index in reversed(range(20))][::-1]
    assert all(same(a, b) for a, b in zip(forwards, backwards, strict=True))
    assert not any(same(source[index], make_source(all_skills, seed=1)[index]) for index in range(20))
    assert not any(same(source[index], source[index + 1]) for index in range(20))


def test_a_source_survives_pickling(all_skills):
    source = make_source(all_skills, seed=3)
    copy = pickle.loads(pickle.dumps(source))
    assert all(same(source[index], copy[index]) for index in range(10))


def test_weights_set_the_shares():
    source = make_source({"object": {"weight": 3}, "scene": {"weight": 1.0}}, seed=0)
    counts = collections.Counter(source[index].skill for index in range(600))
    assert 0.68 < counts["object"] / 600 < 0.82
    assert set(counts) == {"object", "scene"}


@pytest.mark.parametrize("skill", DRAWN)
def test_every_skill_names_itself(skill, all_skills):
    assert make_source({skill: all_skills[skill]}, seed=0)[12345678901].skill == skill


def test_a_negative_index_is_refused():
    with pytest.raises(IndexError, match="index -1 must be 0 or more"):
        make_source({"object": {}}, seed=0)[-1]


def test_the_vocabulary_holds_the_words_of_things_and_pages():
    texts = vocabulary()
    assert "Where are the grapes?" in texts
    assert "Is there an hourglass?" in texts
    assert "What does line 1 say?" in texts


@pytest.mark.parametrize("weight", [0, -1, float("inf"), float("nan"), True, "much"])
def test_weights_that_are_no_share_are_refused(weight):
    with pytest.raises(
        ConfigError, match=r"Skill 'object': weight is .*; it must be a finite number above 0\."
    ):
        make_source({"object": {"weight": weight}}, seed=0)


def test_materials_tell_fonts_from_others():
    plain, default = (
        make_source({"words": {"fonts": fonts}, "object": {}}, seed=0).materials()
        for fonts in (["default"], ["default"] * 2)
    )
    assert plain == {"words": ["default Regular"]}
    assert default != plain
