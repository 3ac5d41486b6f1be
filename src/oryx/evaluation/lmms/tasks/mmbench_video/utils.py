"""MMBench-Video: columns index, video, video_type, question, answer, dimensions (a Python list as text),
video_path.
"""

from __future__ import annotations

import ast
import logging
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from oryx.evaluation.lmms.judge import ask_judge, grade
from oryx.evaluation.lmms.videos import find_video, video_folder

logger = logging.getLogger(__name__)
HIGHEST = 3

# The benchmark's own instruction to its judge, word for word (open-compass/VLMEvalKit, Apache-2.0): figures
# of other judges' instructions would not compare.
INSTRUCTION = """
As an AI assistant, your task is to evaluate a candidate answer in comparison to a given correct answer.
The question itself, the correct 'groundtruth' answer, and the candidate answer will be provided to you.
Your assessment should range from 0 to 3, \
based solely on the semantic similarity between the groundtruth and the candidate answer, \
disregarding any grammatical differences.
A rating of 0 suggests no similarity, implying the candidate answer is entirely incorrect.
A rating of 1 suggests low similarity, meaning the candidate answer is largely incorrect.
A rating of 2 suggests high similarity, meaning the candidate answer is largely correct.
Lastly, a rating of 3 indicates complete similarity, which means the candidate answer is entirely correct.
Your response should be a single integer from 0, 1, 2, or 3.
"""


def doc_to_visual(doc: dict[str, Any]) -> list[str]:
    """The path of the video."""
    return [find_video(video_folder("mmbench_video", "video"), str(doc["video"]))]


def doc_to_text(doc: dict[str, Any]) -> str:
    """The question, as it is."""
    return doc["question"]


def process_results(doc: dict[str, Any], results: Sequence[str]) -> dict[str, Any]:
    """The judge's grade, 0 if it gives none."""
    case = (
        f"Question: {doc['question']}\nGroundtruth answer: {doc['answer']}\n"
        f"Candidate answer: {results[0]}\nYour response: "
    )
    messages = [{"role": "system", "content": INSTRUCTION}, {"role": "user", "content": case}]
    given = grade(lambda: ask_judge(messages, max_tokens=16), HIGHEST, results)
    if given.problem:
        logger.warning("MMBench-Video, question %s: %s", doc["index"], given.problem)
    score = {"index": doc["index"], "dimensions": doc["dimensions"], "score": given.points}
    return {"mmbench_video_score": score, "judge_failures": float(given.num_failures)}


def mean_score(values: Sequence[dict[str, Any]]) -> float:
    """The mean grade, 0 to 3, where a failed one is 0; that of each dimension goes into the log."""
    dimensions: dict[str, list[int]] = defaultdict(list)
    for value in values:
        for name in ast.literal_eval(value["dimensions"]):
            dimensions[name].append(value["score"])
    for name, scores in sorted(dimensions.items()):
        logger.warning("MMBench-Video, %s: %.2f of %d", name, sum(scores) / len(scores), len(scores))
    return sum(value["score"] for value in values) / len(values)
