"""ScanQA and SQA3D: the evaluation records of `oryx data correspondence` (docs/correspondence.md).

Caption metrics are by ScanQA's own script. Those on cleaned answers, as later papers have them, go into the
log.
"""

from __future__ import annotations

import functools
import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from oryx.evaluation.scenes.captions import CAPTION_METRICS, Score, what_lacks
from oryx.evaluation.scenes.evaluate import PROTOCOLS, caption_scores, match_answer
from oryx.evaluation.scenes.rules import Benchmark, is_empty_answer, question_kind
from oryx.processing.markers import IMAGE_MARKER

logger = logging.getLogger(__name__)

_OWN, *_OTHERS = PROTOCOLS


def doc_to_text(doc: dict[str, Any], lmms_eval_specific_kwargs: dict[str, Any] | None = None) -> str:
    """What is asked: the note on marks, the situation if there is one, the question."""
    return doc["conversations"][0]["value"].removeprefix(f"{IMAGE_MARKER}\n")


def doc_to_messages(doc: dict[str, Any], lmms_eval_specific_kwargs: dict[str, Any]) -> list[dict[str, Any]]:
    """The views of the scene at the record's ratio, and the question; paths start in `root`."""
    root = Path(lmms_eval_specific_kwargs["root"])
    (visual,) = doc["visuals"]
    views = [str(root / view) for view in visual["views"]]
    scene = {"type": "views", "views": views, "compression": visual["compression"]}
    return [{"role": "user", "content": [scene, {"type": "text", "text": doc_to_text(doc)}]}]


def doc_to_target(doc: dict[str, Any]) -> str:
    """The first right answer."""
    return doc["answers"][0]


def scanqa_results(doc: dict[str, Any], results: Sequence[str]) -> dict[str, Any]:
    """Whether the answer to a question of ScanQA is right, by each rule, and what caption metrics need."""
    return _results("scanqa", doc, results[0].strip())


def sqa3d_results(doc: dict[str, Any], results: Sequence[str]) -> dict[str, Any]:
    """The same for SQA3D."""
    return _results("sqa3d", doc, results[0].strip())


def _results(benchmark: Benchmark, doc: dict[str, Any], answer: str) -> dict[str, Any]:
    matches = match_answer(benchmark, answer, doc["answers"])
    caption = {
        "answer": answer,
        "references": doc["answers"],
        "scene": doc["scene"],
        "kind": question_kind(benchmark, doc["question"]),
        "em": float(matches["em"]),
    }
    return {
        **{rule: float(is_right) for rule, is_right in matches.items()},
        **dict.fromkeys(CAPTION_METRICS, caption),
        "unparsed": float(is_empty_answer(answer)),
    }


def _aggregation(metric: str) -> Callable[[Sequence[dict[str, Any]]], float | str]:
    def aggregate(values: Sequence[dict[str, Any]]) -> float | str:
        answers = tuple(
            (value["answer"], tuple(value["references"]), value["scene"], value["kind"], value["em"])
            for value in values
        )
        score = _scores(answers)[_OWN][metric]
        return f"needs {what_lacks(PROTOCOLS[_OWN][1])[metric]}" if score is None else score.value

    aggregate.__doc__ = f"{metric} by ScanQA's own script, or what this machine lacks for it."
    return aggregate


bleu_1, bleu_2, bleu_3, bleu_4, meteor, rouge_l, cider = map(_aggregation, CAPTION_METRICS)


@functools.lru_cache(maxsize=2)
def _scores(answers: tuple[tuple[Any, ...], ...]) -> dict[str, dict[str, Score | None]]:
    """Of all metrics at once: lmms-eval asks for one after the other, and the scorers start slowly."""
    said, references, scenes, kinds, exact = zip(*answers)
    by_kind: dict[str, list[float]] = defaultdict(list)
    for kind, right in zip(kinds, exact):
        by_kind[kind].append(right)
    for kind, rights in by_kind.items():
        logger.warning("3D, EM of '%s': %.4f of %d", kind, sum(rights) / len(rights), len(rights))
    scores = caption_scores(said, references, scenes)
    for protocol in _OTHERS:
        for metric, score in scores[protocol].items():
            if score is not None:
                logger.warning("3D, %s as %s has it: %.4f", metric, protocol, score.value)
    return scores
