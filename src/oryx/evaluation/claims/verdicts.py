"""When a claim holds: a rule that was fixed before anything was measured.

Each comparison is made within each seed, on the same fresh questions, and the differences of all seeds are
taken together: their mean and its 95% interval (Student's t, as many degrees of freedom as seeds less one).

    does not hold     the whole interval is below `MARGIN`: a gain, if there is any, is too small to matter
    holds             else, if the whole interval is above 0
    not decided       anything else; also where neither side is better than guessing by more than `LEARNED`,
                      or, of a gain that is to be greater than another, neither side of that other

A claim holds if all of its comparisons do, and does not hold if any of them does not.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

HOLDS, FAILS, UNDECIDED = "holds", "does not hold", "not decided at this scale"
NOT_MEASURED = "not measured"
MARGIN = 0.02
"""Share of right answers below which a gain does not matter."""
LEARNED = 0.05
"""Share of right answers over chance: less is nothing learned."""
CEILING = 0.99
"""Share of right answers from which there is nothing left to gain."""
LEAST_SEEDS = 2
# Two-sided 95% quantiles of Student's t by degrees of freedom; for more, that of 10, which is too wide.
_T_95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)


@dataclass(frozen=True)
class Comparison:
    """What should be greater than what; each side is (arm, measure)."""

    about: str
    better: tuple[str, str]
    worse: tuple[str, str]
    over: tuple[tuple[str, str], tuple[str, str]] | None = None
    """Another (better, worse), whose gain should be smaller than this one's."""

    @property
    def sides(self) -> list[tuple[str, str]]:
        """All that must be measured."""
        return [self.better, self.worse, *(self.over or ())]


@dataclass(frozen=True)
class Shares:
    """Right answers of one arm on one measure."""

    by_seed: Mapping[int, float]
    chance: float

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return statistics.fmean(self.by_seed.values())

    @property
    def spread(self) -> float:
        """Standard deviation over the seeds, 0 of one seed."""
        values = list(self.by_seed.values())
        return statistics.stdev(values) if len(values) > 1 else 0.0


@dataclass(frozen=True)
class Verdict:
    """What came of one comparison."""

    about: str
    verdict: str
    differences: tuple[float, ...]
    """Of each seed, -2 to 2."""
    mean: float
    interval: tuple[float, float] | None
    """95%; None of one seed."""
    reason: str = ""
    """Why nothing is decided, where it is not the interval; or what the verdict rests on."""


def t_interval(values: Sequence[float]) -> tuple[float, float]:
    """95% interval of the mean of two values or more."""
    degrees = len(values) - 1
    reach = _T_95[min(degrees, len(_T_95)) - 1] * statistics.stdev(values) / math.sqrt(len(values))
    mean = statistics.fmean(values)
    return mean - reach, mean + reach


def compare(comparison: Comparison, shares: Mapping[tuple[str, str], Shares]) -> Verdict | None:
    """The verdict on a comparison; None where no seed has all of its sides."""
    if any(side not in shares for side in comparison.sides):
        return None
    sides = [shares[side] for side in comparison.sides]
    seeds = sorted(set.intersection(*(set(side.by_seed) for side in sides)))
    if not seeds:
        return None
    differences = []
    for seed in seeds:
        gain = sides[0].by_seed[seed] - sides[1].by_seed[seed]
        if comparison.over is not None:
            gain -= sides[2].by_seed[seed] - sides[3].by_seed[seed]
        differences.append(gain)
    mean = statistics.fmean(differences)
    told = comparison.about, tuple(differences), mean
    if len(seeds) < LEAST_SEEDS:
        return _verdict(*told, None, UNDECIDED, "one seed gives no verdict")
    interval = t_interval(differences)
    for pair in (sides[:2], sides[2:]):
        if pair and all(side.mean < side.chance + LEARNED for side in pair):
            return _verdict(*told, interval, UNDECIDED, "neither side is better than guessing")
    note = ""
    if comparison.over and all(side.mean >= CEILING for side in sides[2:]):
        note = f"the other gain is 0, since both of its sides are right in {CEILING:.0%} or more"
    if interval[1] < MARGIN:
        return _verdict(*told, interval, FAILS, note)
    return _verdict(*told, interval, HOLDS if interval[0] > 0 else UNDECIDED, note)


def overall(verdicts: Sequence[Verdict | None]) -> str:
    """The verdict on a claim, from those on its comparisons."""
    words = [verdict.verdict if verdict is not None else NOT_MEASURED for verdict in verdicts]
    for word in (FAILS, NOT_MEASURED, UNDECIDED):
        if word in words:
            return word
    return HOLDS


def _verdict(
    about: str,
    differences: tuple[float, ...],
    mean: float,
    interval: tuple[float, float] | None,
    verdict: str,
    reason: str = "",
) -> Verdict:
    return Verdict(about, verdict, differences, mean, interval, reason)
