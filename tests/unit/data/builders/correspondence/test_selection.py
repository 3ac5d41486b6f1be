"""Which objects are marked, and which views are kept."""

import itertools
import random

import pytest

from oryx.data.builders.correspondence.selection import select_objects, select_views
from oryx.errors import ConfigError


def test_objects_seen_in_most_views_come_first_then_the_largest_then_the_first_id() -> None:
    areas = {
        "large": {0: 900, 1: 900},
        7: {0: 5, 1: 5, 2: 5},
        3: {0: 5, 1: 5, 2: 5},
        10: {0: 5, 1: 5, 2: 6},
        1: {0: 10_000},
    }
    assert select_objects(areas, k=5) == [10, 3, 7, "large", 1]
    assert select_objects(areas, k=2) == [10, 3]
    assert select_objects(areas, min_views=3) == [10, 3, 7]


def test_an_area_of_zero_is_not_a_sight() -> None:
    assert select_objects({1: {0: 0, 1: 0, 2: 4}, 2: {0: 1, 1: 1}, 3: {}, 4: {0: 0}}) == [2, 1]


def test_five_objects_unless_told_otherwise() -> None:
    assert select_objects({name: {0: 1} for name in range(9)}) == [0, 1, 2, 3, 4]


def test_even_views_run_from_the_first_to_the_last() -> None:
    assert select_views(100, 4) == [0, 33, 66, 99]
    assert select_views(3, 8) == [0, 1, 2]
    assert select_views(5, 1) == [0]


def test_coverage_finds_the_views_that_share_objects() -> None:
    areas = {1: {2: 9, 7: 9}, 2: {2: 9, 7: 9}, 3: {4: 9, 7: 9}, 4: {0: 9}}
    assert select_views(9, 2, "coverage", areas) == [2, 7]
    assert select_views(9, 3, "coverage", areas) == [2, 4, 7]


def test_coverage_without_a_difference_spreads_out() -> None:
    assert select_views(9, 3, "coverage", {}) == [0, 4, 8]


def test_coverage_is_close_to_the_best_choice_and_better_than_an_even_one() -> None:
    rng = random.Random(5)

    def num_shared(chosen: tuple[int, ...], areas: dict[int, dict[int, float]]) -> int:
        return sum(len(views.keys() & set(chosen)) >= 2 for views in areas.values())

    greedy = even = best = 0
    for _ in range(40):
        areas = {o: {v: 1.0 for v in range(10) if rng.random() < 0.25} for o in range(12)}
        greedy += num_shared(tuple(select_views(10, 4, "coverage", areas)), areas)
        even += num_shared(tuple(select_views(10, 4)), areas)
        best += max(num_shared(chosen, areas) for chosen in itertools.combinations(range(10), 4))
    assert greedy >= 0.9 * best
    assert greedy >= 1.3 * even


@pytest.mark.parametrize("k", [0, -1, True, 2.0])
def test_a_count_that_is_none(k: object) -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        select_objects({1: {0: 1}}, k=k)  # type: ignore[arg-type]


def test_unknown_rules_and_missing_areas() -> None:
    with pytest.raises(ConfigError, match="even, coverage"):
        select_views(3, 2, "best")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="known which object is where"):
        select_views(3, 2, "coverage")
    with pytest.raises(ConfigError, match="at least 1"):
        select_views(3, 0)
