"""Scores and intervals, against values worked out by hand or known from the literature."""

import numpy as np
import pytest

from oryx.evaluation.metrics import (
    Gain,
    Share,
    clustered_interval,
    events_named,
    exact_score,
    is_contained,
    is_exact,
    is_match,
    paired_interval,
    share_interval,
    token_f1,
    wilson_interval,
)


@pytest.mark.parametrize(
    ("answer", "expected", "right"),
    [("red", "red", True), (" red\n", "red", True), ("Red", "red", False), ("red circle", "red", False)],
)
def test_is_exact_forgives_outer_space_only(answer, expected, right):
    assert is_exact(answer, expected) is right


def test_exact_score():
    assert (exact_score("red ", "red"), exact_score("blue", "red")) == (1.0, 0.0)


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        ("a, then b, then c", 1.0),
        ("a, then c", 2 / 3),
        ("a, then c, then b", 2 / 3),  # two of the three are in order
        ("c, then b, then a", 1 / 3),
        ("b", 1 / 3),
        ("a, then x, then c", 2 / 3),
        ("a, then b, then c, then d", 3 / 4),  # one too many
        ("a, then a, then a", 1 / 3),
        ("", 0.0),
        ("a b c", 0.0),
    ],
)
def test_events_named_in_order(answer, score):
    assert events_named(answer, "a, then b, then c") == pytest.approx(score)


@pytest.mark.parametrize(
    ("answer", "expected", "score"),
    [
        ("a red circle", "a red circle", 1.0),
        ("circle red a", "a red circle", 1.0),  # order does not count
        ("a red star", "a red circle", 2 / 3),
        ("red red", "red", 2 / 3),  # precision 1/2, recall 1: a word said twice counts once
        ("blue", "red", 0.0),
        ("", "red", 0.0),
        ("", "", 1.0),
    ],
)
def test_token_f1(answer, expected, score):
    assert token_f1(answer, expected) == pytest.approx(score)


@pytest.mark.parametrize(
    ("num_right", "num_samples", "low", "high"),
    [
        (0, 10, 0.0, 0.2775),  # Wilson (1927), as tabulated for 0 of 10 and 5 of 10
        (5, 10, 0.2366, 0.7634),
        (10, 10, 0.7225, 1.0),
        (300, 500, 0.5565, 0.6420),
    ],
)
def test_wilson_interval(num_right, num_samples, low, high):
    assert wilson_interval(num_right, num_samples) == pytest.approx((low, high), abs=1e-4)


def test_wilson_interval_never_leaves_zero_to_one():
    assert wilson_interval(0, 500)[0] == 0.0
    assert wilson_interval(500, 500)[1] == 1.0


@pytest.mark.parametrize(("num_right", "num_samples"), [(0, 0), (2, 1), (-1, 5)])
def test_wilson_interval_refuses_what_is_no_share(num_right, num_samples):
    with pytest.raises(ValueError, match="no share"):
        wilson_interval(num_right, num_samples)


def test_an_interval_of_clusters_is_wider_than_one_of_its_values_alone():
    values = [1.0, 1.0, 1.0, 0.0, 0.0, 0.0] * 20
    apart = clustered_interval(values, range(len(values)))
    together = clustered_interval(values, [index // 3 for index in range(len(values))])
    assert apart[0] < 0.5 < apart[1]
    # Three equal values count as one: the standard error grows by the root of 3.
    assert (together[1] - together[0]) / (apart[1] - apart[0]) == pytest.approx(3**0.5, rel=0.1)
    # Of independent values it is the normal one: 1.96 * 0.5 / sqrt(n).
    assert apart[1] - apart[0] == pytest.approx(2 * 1.96 * 0.5 / len(values) ** 0.5, rel=0.1)


def test_clusters_weigh_as_many_values_as_they_hold():
    low, high = clustered_interval([1.0, 0.0, 0.0, 0.0], [5, 9, 9, 9])
    assert (low, high) == (0.0, 1.0)  # either cluster alone may be drawn
    assert clustered_interval([0.25, 0.75], [1, 1]) == (0.5, 0.5)
    assert clustered_interval([1.0, 0.0], [0, 1], seed=3) == clustered_interval([1.0, 0.0], [0, 1], seed=3)


@pytest.mark.parametrize("num_right", [0, 1, 30, 99, 100])
def test_a_share_of_independent_answers_has_wilsons_interval(num_right):
    right = [index < num_right for index in range(100)]
    share = Share.of(right, range(100))
    assert (share.num_right, share.num_trials, share.share) == (num_right, 100, num_right / 100)
    assert share.interval == pytest.approx(wilson_interval(num_right, 100))


def test_a_share_of_clusters_that_agree_counts_each_once():
    right = [index % 3 == 0 for index in range(600) for _ in range(5)]
    low, high = share_interval(right, [index // 5 for index in range(3000)])
    assert (low, high) == pytest.approx(wilson_interval(200, 600), abs=0.002)
    # Where all agree nothing shows how much clusters differ, so that they count once as well.
    assert share_interval([False] * 3000, [index // 5 for index in range(3000)]) == pytest.approx(
        wilson_interval(0, 600), abs=1e-3
    )
    assert share_interval([True] * 5, [7] * 5)[0] < 0.3


@pytest.mark.parametrize(("share", "alike"), [(0.02, 0.2), (0.5, 0.2), (0.9, 0.6), (0.99, 0.3)])
def test_intervals_of_clusters_cover_the_truth_as_often_as_they_say(share, alike):
    rng = np.random.default_rng(0)
    covered = {"clusters": 0, "alone": 0}
    for _ in range(200):
        # Each cluster has a share of its own, with this correlation of two answers in it.
        weight = (1 - alike) / alike
        shares = rng.beta(share * weight, (1 - share) * weight, 80)
        clusters = np.repeat(np.arange(80), rng.integers(1, 16, 80))
        right = rng.random(len(clusters)) < shares[clusters]
        for name, (low, high) in {
            "clusters": share_interval(right.tolist(), clusters.tolist()),
            "alone": wilson_interval(int(right.sum()), len(right)),
        }.items():
            covered[name] += low <= share <= high
    # 95% less three standard errors of 200 trials.
    assert covered["clusters"] >= 181
    assert covered["alone"] < 170


def test_a_gain_is_the_mean_of_paired_differences():
    one, other = [True, True, True, False], [True, False, False, False]
    gain = Gain.of(one, other, [0, 1, 2, 3])
    assert gain.difference == 0.5
    assert gain.interval == paired_interval([0, 1, 1, 0], [0, 1, 2, 3])
    low, high = Gain.of([True] * 3, [False] * 3, [0, 1, 2]).interval
    assert low <= 0 < high  # three that agree prove nothing
    with pytest.raises(ValueError, match="zip"):
        Gain.of(one, other[:3], [0, 1, 2, 3])


@pytest.mark.parametrize(
    ("answer", "expected", "right"),
    [
        ("It is a red, round circle.", "red round", True),
        ("It is reddish.", "red", False),
        ("A man, I think.", "a man", True),
        ("\N{DOG FACE}", "\N{DOG FACE}", True),
        ("A \N{DOG FACE} sits.", "\N{DOG FACE}", True),
        ("It costs 5 \N{EURO SIGN}.", "\N{EURO SIGN}", True),
        ("C", "C++", False),
        ("In C++.", "c++", True),
        ("\u8fd9\u662f\u7ea2\u8272\u7684", "\u7ea2\u8272", True),
        ("\u8fd9\u662f\u7ea2\u8272\u7684", "\u84dd\u8272", False),
        ("5.5", "5", False),
        ("It is 5.", "5", True),
        ("About 1,600 frames", "1,600", True),
        ("It costs $50.", "$5", False),
        ("15\N{EURO SIGN}", "5\N{EURO SIGN}", False),
        ("costs 5 \N{EURO SIGN}", "5\N{EURO SIGN}", True),
        ("25\N{DEGREE SIGN}C", "5\N{DEGREE SIGN}C", False),
        ("2 + 2 = 4", "2+2=4", True),
        ("13\u4e2a", "3\u4e2a", False),
        ("1,2,3", "2", True),
        ("It calls _init first.", "_init", True),
        ("1,2 and 3", "1, 2 and 3", True),
        ("anything", ".", False),
        ("anything", "", False),
    ],
)
def test_what_stands_in_an_answer(answer, expected, right):
    assert is_contained(answer, expected) is right


@pytest.mark.parametrize("answer", ["a red circle .", "A  red\ncircle.", " a red circle"])
def test_case_space_and_a_full_stop_are_forgiven(answer):
    assert is_match(answer, "A red circle.")
    assert not is_match(answer, "A red circle!")
