"""BLEU, METEOR, ROUGE-L and CIDEr of short answers, by the field's scorers (`pycocoevalcap`).

    with open_meteor() as meteor:
        scores = score_captions(["brown"], [["dark brown", "brown"]], ["scene0011_00"], "ptb", meteor)
    scores["cider"].value

Scores are 0 to 1, CIDEr 0 to 10: papers show a hundred times that. What cannot be measured here is None,
never 0; `what_lacks` says why. `pycocoevalcap` comes with `pip install "oryx-mllm[eval]"`; METEOR and the PTB
tokenizer need Java.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal, TypeAlias

import numpy as np

from oryx.evaluation.metrics import Clusters, clustered_interval, draw_clusters, percentile_interval
from oryx.evaluation.scenes.java import INSTALL_JAVA, Meteor, has_java, one_line, tokenize

CAPTION_METRICS = (*(f"bleu_{order}" for order in (1, 2, 3, 4)), "meteor", "rouge_l", "cider")

Tokens: TypeAlias = Literal["ptb", "spaces"]
"""Where words end: by the Penn Treebank's tokenizer, lower case and without punctuation, or at spaces."""

_ORDERS = 4
_METEOR_SAMPLES = 1000


@dataclass(frozen=True)
class Score:
    """One score of all answers."""

    value: float
    interval: tuple[float, float]
    """95%, of a bootstrap that draws whole clusters. CIDEr's word weights stay those of all references."""


def what_lacks(tokens: Tokens) -> dict[str, str]:
    """For each metric that cannot be measured here, what it needs: "Java ..." or an extra of this package."""
    if find_spec("pycocoevalcap") is None:
        return dict.fromkeys(CAPTION_METRICS, '`pip install "oryx-mllm[eval]"`')
    if not has_java():
        return dict.fromkeys(CAPTION_METRICS if tokens == "ptb" else ("meteor",), INSTALL_JAVA)
    return {}


@contextmanager
def open_meteor() -> Iterator[Meteor | None]:
    """METEOR for several calls of `score_captions`, for it starts slowly; None where it cannot be had."""
    if "meteor" in what_lacks("spaces"):
        yield None
        return
    with Meteor() as meteor:
        yield meteor


def score_captions(
    answers: Sequence[str],
    references: Sequence[Sequence[str]],
    clusters: Clusters,
    tokens: Tokens,
    meteor: Meteor | None,
) -> dict[str, Score | None]:
    """Every metric of `CAPTION_METRICS`, None for those of `what_lacks`.

    Args:
        answers: N of them, at least one.
        references: of each answer, at least one.
        clusters: of each answer, such as its scene: answers on one scene are not independent.
        tokens: where words end.
        meteor: of `open_meteor`.

    Raises:
        ConfigError: Java failed.
    """
    scores: dict[str, Score | None] = dict.fromkeys(CAPTION_METRICS)
    if len(what_lacks(tokens)) == len(CAPTION_METRICS):
        return scores
    said, wanted = _tokenized(answers, references, tokens)
    scores |= _bleu(said, wanted, clusters)
    scores["rouge_l"] = _rouge(said, wanted, clusters)
    scores["cider"] = _cider(said, wanted, clusters)
    if meteor is not None:
        scores["meteor"] = _meteor(meteor, said, wanted, clusters)
    return scores


def _tokenized(
    answers: Sequence[str], references: Sequence[Sequence[str]], tokens: Tokens
) -> tuple[list[str], list[list[str]]]:
    texts = [*answers, *(text for several in references for text in several)]
    words = iter(tokenize(texts) if tokens == "ptb" else map(one_line, texts))
    return [next(words) for _ in answers], [[next(words) for _ in several] for several in references]


def _bleu(said: list[str], wanted: list[list[str]], clusters: Clusters) -> dict[str, Score]:
    from pycocoevalcap.bleu.bleu_scorer import BleuScorer

    scorer = BleuScorer(n=_ORDERS)
    for answer, references in zip(said, wanted, strict=True):
        scorer += (answer, references)
    values, _ = scorer.compute_score(option="closest", verbose=0)
    # (N, 2 + 2 * orders): what BLEU counts in each answer; it is a function of the sums.
    counts = np.array([_bleu_counts(scorer, counted) for counted in scorer.ctest], np.float64)
    places, drawn = draw_clusters(clusters)
    sampled = _bleu_of(drawn @ _sums(counts, places, drawn.shape[1]))
    return {
        f"bleu_{order + 1}": Score(float(value), percentile_interval(sampled[:, order]))
        for order, value in enumerate(values)
    }


def _bleu_counts(scorer: Any, counted: dict[str, Any]) -> list[float]:
    length = counted["testlen"]
    closest = min((abs(other - length), other) for other in counted["reflen"])[1]
    return [length, closest, *counted["guess"], *counted["correct"]]


def _bleu_of(sums: np.ndarray) -> np.ndarray:
    """(S, orders) BLEU of (S, 2 + 2 * orders) sums, with the scorer's guards against a division by 0."""
    length, wanted = sums[:, 0], sums[:, 1]
    guessed, correct = sums[:, 2 : 2 + _ORDERS], sums[:, 2 + _ORDERS :]
    share = np.cumprod((correct + 1e-15) / (guessed + 1e-9), 1) ** (1 / np.arange(1, _ORDERS + 1))
    ratio = (length + 1e-15) / (wanted + 1e-9)
    with np.errstate(over="ignore"):  # exp(1 - 1 / 0) is 0
        return share * np.where(ratio < 1, np.exp(1 - 1 / ratio), 1.0)[:, None]


def _rouge(said: list[str], wanted: list[list[str]], clusters: Clusters) -> Score:
    from pycocoevalcap.rouge.rouge import Rouge

    scorer = Rouge()
    values = [scorer.calc_score([answer], references) for answer, references in zip(said, wanted)]
    return _mean(values, clusters)


def _cider(said: list[str], wanted: list[list[str]], clusters: Clusters) -> Score:
    from pycocoevalcap.cider.cider_scorer import CiderScorer

    if not any(reference.split() for references in wanted for reference in references):
        return _mean([0.0] * len(said), clusters)  # the scorer knows no words then, and fails
    scorer = CiderScorer()
    for answer, references in zip(said, wanted):
        scorer += (answer, references)
    return _mean(scorer.compute_score()[1], clusters)


def _meteor(meteor: Meteor, said: list[str], wanted: list[list[str]], clusters: Clusters) -> Score:
    counts = np.array([meteor.counts(answer, references) for answer, references in zip(said, wanted)])
    places, drawn = draw_clusters(clusters, num_samples=_METEOR_SAMPLES)
    sampled = [meteor.score(sums) for sums in drawn @ _sums(counts, places, drawn.shape[1])]
    return Score(meteor.score(counts.sum(0)), percentile_interval(np.array(sampled)))


def _mean(values: Sequence[float], clusters: Clusters) -> Score:
    return Score(float(np.mean(values)), clustered_interval(values, clusters))


def _sums(counts: np.ndarray, places: np.ndarray, num_clusters: int) -> np.ndarray:
    """(C, K) sums of (N, K) counts over each cluster."""
    sums = np.zeros((num_clusters, counts.shape[1]))
    np.add.at(sums, places, counts)
    return sums
