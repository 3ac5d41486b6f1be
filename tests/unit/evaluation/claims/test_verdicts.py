"""The rule for verdicts, on differences that were made up."""

import math

import pytest

from oryx.evaluation.claims.verdicts import (
    FAILS,
    HOLDS,
    NOT_MEASURED,
    UNDECIDED,
    Comparison,
    Shares,
    compare,
    overall,
    t_interval,
)

A, B, C, D = (("a", "m"), ("b", "m"), ("c", "m"), ("d", "m"))
PLAIN = Comparison("a over b", A, B)


def shares(**sides):
    return {(name, "m"): Shares(dict(enumerate(values)), 0.1) for name, values in sides.items()}


@pytest.mark.parametrize(
    ("a", "b", "verdict"),
    [
        ((0.80, 0.82, 0.84), (0.60, 0.61, 0.65), HOLDS),
        ((0.60, 0.61, 0.65), (0.80, 0.82, 0.84), FAILS),
        ((0.800, 0.810, 0.805), (0.801, 0.809, 0.805), FAILS),  # equal, and known to be
        ((0.9975, 0.9976, 0.9974), (0.995, 0.995, 0.995), FAILS),  # better for sure, by one question of 400
        ((0.80, 0.50, 0.90), (0.60, 0.61, 0.65), UNDECIDED),
        ((0.12, 0.13, 0.14), (0.02, 0.03, 0.04), UNDECIDED),  # neither has learned anything
        ((0.12, 0.13, 0.14), (0.80, 0.82, 0.84), FAILS),
    ],
)
def test_three_seeds(a, b, verdict):
    found = compare(PLAIN, shares(a=a, b=b))
    assert found.verdict == verdict
    assert found.mean == pytest.approx(sum(x - y for x, y in zip(a, b, strict=True)) / 3)
    assert found.interval[0] < found.mean < found.interval[1]


def test_one_seed_decides_nothing():
    found = compare(PLAIN, shares(a=(0.9,), b=(0.1,)))
    assert (found.verdict, found.interval) == (UNDECIDED, None)
    assert found.reason == "one seed gives no verdict"


def test_only_seeds_that_have_all_sides_count():
    sides = shares(a=(0.9, 0.9, 0.9), b=(0.5, 0.5))
    assert compare(PLAIN, sides).differences == pytest.approx((0.4, 0.4))
    assert compare(PLAIN, shares(a=(0.9,))) is None


def test_a_gain_over_another_gain():
    both = Comparison("reading gains more", A, B, over=(C, D))
    sides = shares(a=(0.8, 0.8, 0.8), b=(0.4, 0.41, 0.39), c=(0.99, 1.0, 0.98), d=(0.9, 0.9, 0.9))
    found = compare(both, sides)
    assert found.differences == pytest.approx((0.31, 0.29, 0.33))
    assert (found.verdict, found.reason) == (HOLDS, "")
    nothing = (0.10, 0.11, 0.12)
    found = compare(both, {**sides, **shares(c=nothing, d=nothing)})
    assert (found.verdict, found.reason) == (UNDECIDED, "neither side is better than guessing")
    full = (1.0, 0.99, 1.0)
    found = compare(both, {**sides, **shares(c=full, d=full)})
    assert found.verdict == HOLDS
    assert "the other gain is 0" in found.reason


@pytest.mark.parametrize(
    ("values", "reach"),
    [
        ([1.0, 3.0], 12.706),  # standard error 1
        ([1.0, 2.0, 3.0], 4.303 / math.sqrt(3)),
        ([1.0, 2.0, 3.0, 4.0, 5.0], 2.776 * math.sqrt(2.5 / 5)),
        (11 * [0.0] + [1.0], 2.228 / 12),  # more seeds than the table has: not too narrow
    ],
)
def test_the_interval_is_students(values, reach):
    mean = sum(values) / len(values)
    assert t_interval(values) == pytest.approx((mean - reach, mean + reach), abs=1e-9)


def test_a_claim_holds_if_all_of_it_does():
    holds, fails = (compare(PLAIN, shares(a=(x, x, x), b=(0.5, 0.5, 0.5))) for x in (0.9, 0.3))
    assert overall([holds, holds]) == HOLDS
    assert overall([holds, fails]) == FAILS
    assert overall([holds, None]) == NOT_MEASURED
    assert overall([fails, None]) == FAILS
