"""MMMU: columns id, question, options (a Python list as text), question_type, answer, image_1 to image_7."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

from oryx.evaluation.lmms.options import read_option


def doc_to_visual(doc: dict[str, Any]) -> list[Any]:
    """The pictures that the question names."""
    from lmms_eval.tasks.mmmu.utils import mmmu_doc_to_visual

    return mmmu_doc_to_visual(doc)


def doc_to_text(doc: dict[str, Any], lmms_eval_specific_kwargs: dict[str, Any]) -> str:
    """The question as lmms-eval words it, `<image 1>` and all."""
    from lmms_eval.tasks.mmmu.utils import mmmu_doc_to_text

    return mmmu_doc_to_text(doc, lmms_eval_specific_kwargs)


def process_results(doc: dict[str, Any], results: Sequence[str]) -> dict[str, Any]:
    """lmms-eval's score of the answer, and whether it names no option."""
    from lmms_eval.tasks.mmmu.utils import extract_subset_name, parse_open_response

    answer = results[0]
    if doc["question_type"] == "multiple-choice":
        texts = ast.literal_eval(doc["options"])
        letter = read_option(answer, {chr(ord("A") + index): text for index, text in enumerate(texts)})
        parsed, is_unparsed = letter or "", letter is None
    else:
        parsed, is_unparsed = parse_open_response(answer), not answer
    score = {
        "id": doc["id"],
        "subdomain": extract_subset_name(doc["id"]),
        "question_type": doc["question_type"],
        "answer": doc["answer"],
        "parsed_pred": [parsed],
    }
    return {"mmmu_acc": score, "unparsed": float(is_unparsed)}


def accuracy(values: Sequence[dict[str, Any]]) -> float:
    """lmms-eval's accuracy, 0 to 1."""
    from lmms_eval.tasks.mmmu.utils import mmmu_aggregate_results

    return mmmu_aggregate_results(values)
