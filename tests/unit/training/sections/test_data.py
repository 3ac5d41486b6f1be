"""What a recipe may say about its data."""

import math

import pytest

from oryx.data.sources.settings import SourceSettings
from oryx.data.synthetic.settings import FIRST_TEST_SEED
from oryx.errors import ConfigError
from oryx.training.sections.data import DataSection, SyntheticSection


def source(weight=None, **settings):
    return SourceSettings(path="x", weight=weight, **settings)


def synthetic(weight=None):
    return SyntheticSection(skills={"words": {}}, weight=weight)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "synthetic, files or sources must be set"),
        ({"sources": (source(), source(1.0))}, "sources have weights in part; give every source a weight"),
        (
            {"sources": (source(0.0), source(0.0))},
            "the weights of all sources are 0; at least one must be above 0",
        ),
        ({"synthetic": synthetic(0.0)}, "the weights of all sources are 0"),
        ({"files": (source(0.0),), "synthetic": synthetic(0.0)}, "the weights of all sources are 0"),
        ({"sources": (source(1.0),), "synthetic": synthetic()}, "synthetic.weight is missing"),
        ({"sources": (source(),), "synthetic": synthetic(1.0)}, "sources have weights in part"),
        ({"sources": (source(),), "max_broken": -1}, "max_broken is -1; it must be at least 0"),
        (
            {"sources": (source(),), "max_broken": 1.5},
            "max_broken is 1.5; it must be a whole number, or a share",
        ),
        ({"sources": (source(),), "max_broken": math.nan}, "max_broken is nan; it must be a finite number"),
        ({"sources": (source(),), "balance": 0}, "balance is 0; it must be at least 1"),
        (
            {"sources": (source(1.0),), "synthetic": synthetic(1.0), "balance": 2},
            "balance is for sources alone",
        ),
    ],
)
def test_data_that_cannot_be_is_refused(settings, said):
    with pytest.raises(ConfigError) as error:
        DataSection(**settings)
    assert said in str(error.value)


@pytest.mark.parametrize("seed", [-1, FIRST_TEST_SEED])
def test_seeds_of_tests_are_not_trained_on(seed):
    SyntheticSection(skills={"words": {}}, seed=FIRST_TEST_SEED - 1)
    with pytest.raises(ConfigError, match=f"seed is {seed}; it must be from 0 to 9999999: those above are"):
        SyntheticSection(skills={"words": {}}, seed=seed)


def test_all_marks_can_be_left_out_at_once():
    skills = {"words": {"weight": 2, "marks": True}, "scene": {}}
    section = SyntheticSection(skills=skills, marks=False)
    assert section.skills == {"words": {"weight": 2, "marks": False}, "scene": {"marks": False}}
    assert SyntheticSection(skills=skills).skills == skills


def test_a_weight_of_zero_leaves_a_source_out():
    data = DataSection(sources=(source(0.0, name="a"), source(1.0, name="b")), synthetic=synthetic(0.0))
    assert [used.name for used in data.used_sources] == ["b"]
    assert not data.draws


@pytest.mark.parametrize(("max_broken", "limit"), [(0, 0), (0.01, 5), (3, 3), (1, 1)])
def test_the_limit_of_broken_records_is_a_number_or_a_share(max_broken, limit):
    assert DataSection(sources=(source(),), max_broken=max_broken).broken_limit(500) == limit
