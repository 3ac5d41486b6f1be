"""Differences of pairs and of shares, and whether they are more than chance."""

import math
from pathlib import Path

import pytest

from oryx.evaluation.comparison.differences import differ, other_than
from oryx.evaluation.comparison.runs import Row, Run, Scored
from oryx.evaluation.metrics import clustered_interval, paired_interval, wilson_interval


def row(scores, keep=True, seed=0, cluster=lambda index: index):
    share = sum(scores) / len(scores)
    kept = {
        (index,): Scored("What?", "red", "red", score, cluster(index), seed)
        for index, score in enumerate(scores)
    }
    interval = wilson_interval(sum(scores), len(scores))
    return Row("", "color", share, interval, len(scores), scores=kept if keep else None)


def test_the_same_questions_are_compared_in_pairs():
    one, two = row([0, 0, 1, 1] * 10), row([1, 1, 1, 0] * 10)
    difference = differ(one, two)
    assert difference.is_paired
    assert difference.value == pytest.approx(0.25)
    low, high = difference.interval
    assert low < 0.25 < high
    assert difference.interval == paired_interval([1, 1, 0, -1] * 10, range(40))


def test_pairs_that_all_agree_are_no_proof_where_they_are_few():
    few, many = differ(row([0] * 3), row([1] * 3)), differ(row([0] * 30), row([1] * 30))
    assert (few.value, few.is_apart) == (1, False)
    assert (many.value, many.is_apart) == (1, True)
    same = differ(row([1] * 30), row([1] * 30))
    assert (same.value, same.is_apart) == (0, False)
    assert same.interval[0] < 0 < same.interval[1]


def test_questions_of_one_cluster_count_for_less():
    scores = [0] * 30, [1] * 20 + [0] * 10
    alone = differ(*map(row, scores))
    together = differ(*(row(one, cluster=lambda index: f"room {index // 10}") for one in scores))
    assert alone.is_apart
    assert not together.is_apart
    assert together.value == alone.value


def test_paired_intervals_come_near_those_of_the_bootstrap():
    values = [1, 0, 0, -1, 0, 1, 1, 0] * 200
    assert paired_interval(values, range(1600)) == pytest.approx(
        clustered_interval(values, range(1600)), abs=0.004
    )


@pytest.mark.parametrize("other", [row([1, 0], seed=1), row([1, 0], keep=False), row([1, 0, 1])])
def test_other_questions_are_compared_as_shares(other):
    assert not differ(row([1, 0]), other).is_paired


def test_two_shares_as_newcombe_has_them():
    """The example of his table II: 56/70 and 48/80, method 10, gives 0.0524 to 0.3339."""
    one, two = row([1] * 48 + [0] * 32, keep=False), row([1] * 56 + [0] * 14, keep=False)
    difference = differ(one, two)
    assert difference.value == pytest.approx(0.2)
    assert difference.interval == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert difference.is_apart


def test_standard_errors_add_as_squares():
    one = Row("", "x", 3.0, (2.0, 4.0), None, is_share=False)
    two = Row("", "x", 5.0, (4.5, 5.5), None, is_share=False)
    reach = math.hypot(1, 0.5)
    assert differ(one, two).interval == pytest.approx((2 - reach, 2 + reach))
    assert differ(one, Row("", "x", 5.0, None, None)).interval is None


def test_what_differs_is_named():
    def run(settings, torch="2.13"):
        return Run("skills", Path("a"), "nano", "ab", settings, {"torch": torch}, "", "")

    one, two = run({"--seed": "0", "--samples": "5"}), run({"--samples": "5", "--sweep": "yes"}, "2.14")
    assert other_than([one, two]) == {
        "--seed": ["0", "not set"],
        "--sweep": ["not set", "yes"],
        "torch": ["2.13", "2.14"],
    }
    assert other_than([one, one]) == {}
