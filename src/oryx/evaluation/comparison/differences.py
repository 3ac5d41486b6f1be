"""How much two runs differ in a number, and whether the difference is more than chance."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from oryx.evaluation.comparison.runs import Interval, Row, Run, Scored
from oryx.evaluation.metrics import paired_interval

NOT_SET = "not set"


@dataclass(frozen=True)
class Difference:
    """One number of two runs, the second less the first."""

    value: float
    interval: Interval | None
    """95%; None where one of the two has none."""
    is_paired: bool
    """Reckoned question by question."""

    @property
    def is_apart(self) -> bool:
        """Whether the interval leaves out no difference at all."""
        return self.interval is not None and not self.interval[0] <= 0 <= self.interval[1]


def differ(first: Row, second: Row) -> Difference:
    """Question by question where both were asked the same ones, else from the two intervals.

    Paired, the interval is that of `paired_interval`. Unpaired it is Newcombe's square-and-add (Stat. Med. 17
    (1998) 873-890), which takes intervals of any kind (Zou and Donner, Stat. Med. 27 (2008) 1693-1702).
    """
    pairs = same_questions(first.scores, second.scores)
    if pairs is not None:
        values = [two.score - one.score for one, two in pairs]
        numbers: dict[Hashable, int] = {}
        clusters = [numbers.setdefault(one.cluster, len(numbers)) for one, _ in pairs]
        return Difference(sum(values) / len(values), paired_interval(values, clusters), True)
    value = second.value - first.value
    if first.interval is None or second.interval is None:
        return Difference(value, None, False)
    (low, high), (other_low, other_high) = first.interval, second.interval
    below = math.hypot(second.value - other_low, high - first.value)
    above = math.hypot(other_high - second.value, first.value - low)
    return Difference(value, (value - below, value + above), False)


def same_questions(
    first: Mapping[Hashable, Scored] | None, second: Mapping[Hashable, Scored] | None
) -> list[tuple[Scored, Scored]] | None:
    """The questions of two rows in pairs; None unless both have the same ones."""
    if not first or not second or first.keys() != second.keys():
        return None
    pairs = [(one, second[place]) for place, one in first.items()]
    return pairs if all(one.identity == two.identity for one, two in pairs) else None


def other_than(runs: Sequence[Run]) -> dict[str, list[str]]:
    """Settings and versions that are not the same in all runs -> their values, in the order of the runs."""
    told: dict[str, list[str]] = {}
    for kind in ("settings", "machine"):
        maps: list[Mapping[str, str]] = [getattr(run, kind) for run in runs]
        for name in dict.fromkeys(name for one in maps for name in one):
            values = [one.get(name, NOT_SET) for one in maps]
            if len(set(values)) > 1:
                told[name] = values
    return told
