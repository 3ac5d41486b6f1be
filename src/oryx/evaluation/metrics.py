"""Scores of short answers, and how sure a share of right answers is."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

Z_95 = 1.959963984540054
"""The standard normal quantile of a two-sided interval of 95%."""
_UNSPACED = "\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
"""Letters of Thai, Lao, Khmer, Japanese and Chinese, which write no spaces between words."""
_WORD = re.compile(rf"\d{{1,3}}(?:,\d{{3}})+(?!\d)|\d+(?:\.\d+)*|[{_UNSPACED}]|[^\W\d{_UNSPACED}]+|[^\w\s]")
Clusters: TypeAlias = Sequence[int] | Sequence[str]
"""The cluster of each value, by number or by name."""


def is_exact(answer: str, expected: str) -> bool:
    """Whether the answer, without space around it, is the expected text, letter for letter."""
    return answer.strip() == expected.strip()


def is_blank(answer: str) -> bool:
    """Whether the answer says nothing that could be right: it has no letter, digit or symbol."""
    return not any(unicodedata.category(character)[0] in "LNS" for character in answer)


def is_right(answer: str, expected: str) -> bool:
    """`is_exact`, for an answer that says something."""
    return not is_blank(answer) and is_exact(answer, expected)


def token_f1(answer: str, expected: str) -> float:
    """Harmonic mean of precision and recall over words (split at spaces), 0 to 1; two empty texts give 1."""
    said, wanted = Counter(answer.split()), Counter(expected.split())
    if not said or not wanted:
        return float(said == wanted)
    shared = (said & wanted).total()
    return 2 * shared / (said.total() + wanted.total())


def exact_score(answer: str, expected: str) -> float:
    """1 for an exact answer, else 0."""
    return float(is_exact(answer, expected))


def events_named(answer: str, expected: str, separator: str = ", then ") -> float:
    """Share of the expected events that the answer names in their order, 0 to 1.

    Events stand between separators. Counted is the longest series of events that both texts hold in one
    order, over the number of events in the longer text: an event too many costs as much as one left out.
    """
    said, wanted = ([part.strip() for part in text.split(separator)] for text in (answer, expected))
    longest = [0] * (len(wanted) + 1)  # of the events said so far and the first so many wanted ones
    for event in said:
        above = longest.copy()
        for index, other in enumerate(wanted):
            longest[index + 1] = above[index] + 1 if event == other else max(above[index + 1], longest[index])
    return longest[-1] / max(len(said), len(wanted))


def wilson_interval(num_right: float, num_samples: float, z: float = Z_95) -> tuple[float, float]:
    """Wilson's score interval of a share, (low, high) inside 0..1; sound near 0% and 100% too.

    `num_right` may be a sum of scores from 0 to 1: no such score varies more than right and wrong do, so the
    interval is then too wide rather than too narrow.

    Raises `ValueError` unless 0 <= num_right <= num_samples and num_samples > 0.
    """
    if num_samples <= 0 or not 0 <= num_right <= num_samples:
        raise ValueError(f"{num_right} of {num_samples} is no share of right answers.")
    share, spread = num_right / num_samples, z * z / num_samples
    middle = share + spread / 2
    reach = z * math.sqrt(share * (1 - share) / num_samples + spread / (4 * num_samples))
    # At either end the bound is 0 or 1 exactly; rounding must not move it past that.
    low = (middle - reach) / (1 + spread) if num_right else 0.0
    high = (middle + reach) / (1 + spread) if num_right < num_samples else 1.0
    return low, high


def clustered_interval(
    values: Sequence[float], clusters: Clusters, seed: int = 0, num_samples: int = 5000
) -> tuple[float, float]:
    """95% percentile bootstrap interval of the mean of values, such as the differences of paired scores.

    Whole clusters are drawn with replacement, for values of one cluster (questions on one room) are not
    independent: Field and Welsh, "Bootstrapping clustered data", J. R. Stat. Soc. B 69 (2007) 369-390. The
    interval of a single cluster has no width.

    Args:
        values: at least one.
        clusters: the cluster of each value.
    """
    places, drawn = draw_clusters(clusters, seed, num_samples)
    sums, counts = np.bincount(places, np.asarray(values, np.float64)), np.bincount(places)
    return percentile_interval(drawn @ sums / (drawn @ counts))


def draw_clusters(
    clusters: Clusters, seed: int = 0, num_samples: int = 5000
) -> tuple[np.ndarray, np.ndarray]:
    """A bootstrap of C whole clusters: (N,) the number of each value's, (S, C) how often each is drawn."""
    names, places = np.unique(np.asarray(clusters), return_inverse=True)
    number = len(names)
    drawn = np.random.default_rng(seed).multinomial(number, np.full(number, 1 / number), num_samples)
    return places, drawn


def percentile_interval(values: np.ndarray) -> tuple[float, float]:
    """95% percentile interval of what the samples of a bootstrap gave, (S,)."""
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)


def paired_interval(differences: Sequence[float], clusters: Clusters) -> tuple[float, float]:
    """95% interval of the mean difference of paired scores, each from 0 to 1.

    `clustered_interval` with two clusters more, one of them all better and one all worse, as in
    `share_interval`: where a few questions all agree, they do not show that all others would.

    Args:
        differences: at least one, each -1 to 1.
        clusters: the cluster of each.
    """
    _, places = np.unique(np.asarray(clusters), return_inverse=True)
    size = max(1, round(len(differences) / (int(places.max()) + 1)))
    extra = [1.0] * size + [-1.0] * size
    named = [-1] * size + [-2] * size
    return clustered_interval([*differences, *extra], [*places.tolist(), *named])


def share_interval(right: Sequence[bool], clusters: Clusters) -> tuple[float, float]:
    """95% interval of the share of right answers, where those of one cluster are not independent.

    Wilson's, of as many independent answers as would tell as much: their number over the design effect (Dean
    and Pagano, J. Surv. Stat. Methodol. 3 (2015) 484-503). The effect is reckoned with two clusters more, one
    all right and one all wrong: where nearly all answers agree, they do not show how much clusters differ.
    With one answer in each cluster this is `wilson_interval`.

    Args:
        right: at least one.
        clusters: the cluster of each answer.
    """
    _, places = np.unique(np.asarray(clusters), return_inverse=True)
    counts = np.bincount(places).astype(np.float64)
    sums = np.bincount(places, np.asarray(right, np.float64))
    size = counts.mean()
    sums, counts = np.append(sums, [size, 0.0]), np.append(counts, [size, size])
    share, number = sums.sum() / counts.sum(), len(counts)
    between = number / (number - 1) * np.square(sums - share * counts).sum()
    independent = share * (1 - share) * counts.sum() ** 2 / (counts.sum() - 1)
    worth = len(right) / max(1.0, float(between / independent))
    return wilson_interval(sum(right) / len(right) * worth, worth)


@dataclass(frozen=True)
class Share:
    """How many answers are right."""

    num_right: int
    num_trials: int
    share: float
    interval: tuple[float, float]
    """95%, see `share_interval`."""

    @classmethod
    def of(cls, right: Sequence[bool], clusters: Clusters) -> Share:
        """The share of right answers, at least one; arguments are those of `share_interval`."""
        number = sum(right)
        return cls(number, len(right), number / len(right), share_interval(right, clusters))


@dataclass(frozen=True)
class Gain:
    """How much more often one is right than another, on the same questions."""

    difference: float
    """-1 to 1."""
    interval: tuple[float, float]
    """95%, see `paired_interval`."""

    @classmethod
    def of(cls, one: Sequence[bool], other: Sequence[bool], clusters: Clusters) -> Gain:
        """The gain of one over the other; both answer the same questions in one order."""
        differences = [int(first) - int(second) for first, second in zip(one, other, strict=True)]
        return cls(sum(differences) / len(differences), paired_interval(differences, clusters))


def is_match(answer: str, expected: str) -> bool:
    """`is_exact` but for case, runs of space and a full stop at the end."""
    return _plain(answer) == _plain(expected)


def is_contained(answer: str, expected: str) -> bool:
    """Whether the expected words stand in the answer one after the other, whatever is around them.

    A number is a word, a symbol that is no punctuation (the "+" of "C++", a "€") too, and each letter of a
    script that writes no spaces.
    """
    said, wanted = _words(answer), _words(expected)
    return bool(wanted) and any(
        said[start : start + len(wanted)] == wanted for start in range(len(said) - len(wanted) + 1)
    )


def _plain(text: str) -> str:
    return " ".join(text.casefold().split()).removesuffix(".").rstrip()


def _words(text: str) -> list[str]:
    found = _WORD.findall(text.casefold())
    return [
        word for word in found if not unicodedata.category(word[0]).startswith(("P", "C")) or word[0] == "_"
    ]
