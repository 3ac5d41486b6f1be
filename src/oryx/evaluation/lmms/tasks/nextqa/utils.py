"""NextQA, multiple choice: columns video, question, a0 to a4, answer (the right one's index), qid, type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from oryx.evaluation.lmms.options import read_option
from oryx.evaluation.lmms.videos import find_video, video_folder

LETTERS = "ABCDE"


def doc_to_visual(doc: dict[str, Any]) -> list[str]:
    """The path of the video."""
    return [find_video(video_folder("nextqa", "NExTVideo"), str(doc["video"]))]


def doc_to_text(doc: dict[str, Any], lmms_eval_specific_kwargs: dict[str, str]) -> str:
    """The question and its options, a line each."""
    lines = [doc["question"].strip(), *(f"{letter}. {text}" for letter, text in _options(doc).items())]
    kwargs = lmms_eval_specific_kwargs
    return kwargs["pre_prompt"] + "\n".join(lines) + kwargs["post_prompt"]


def doc_to_target(doc: dict[str, Any]) -> str:
    """The right letter."""
    return LETTERS[doc["answer"]]


def process_results(doc: dict[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Whether the answer is right, and whether it names an option at all."""
    letter = read_option(results[0], _options(doc))
    return {"accuracy": float(letter == doc_to_target(doc)), "unparsed": float(letter is None)}


def _options(doc: dict[str, Any]) -> dict[str, str]:
    return {letter: doc[f"a{index}"].strip() for index, letter in enumerate(LETTERS)}
