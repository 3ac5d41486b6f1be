"""Which answers to ScanQA and SQA3D are right, by each of the rules in use.

Published numbers differ in the rule: `is_exact_answer` is that of ScanQA's own script and of SQA3D's
classifiers, `clean_answer` and `is_refined_match` are LEO's (arXiv 2311.12871), which Chat-Scene, LLaVA-3D
and others took over, and `is_loose_match` is SQA3D's own for models that answer in their own words. Under
each an empty answer is wrong; LEO's and SQA3D's scripts find it in any reference, and Chat-Scene's does not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, TypeAlias

Benchmark: TypeAlias = Literal["scanqa", "sqa3d"]

_MISSPELT = {
    "letf": "left",
    "let": "left",
    "tehre": "there",
    "rigth": "right",
    "rght": "right",
    "behine": "behind",
    "tv": "TV",
    "chai": "chair",
    "wasing": "washing",
    "waslked": "walked",
    "oclock": "o'clock",
}
_TO_TEN = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_TEENS = (
    "eleven",
    "twelve",
    *(f"{start}teen" for start in ("thir", "four", "fif", "six", "seven", "eigh", "nine")),
)
_WORDS = {
    **_MISSPELT,
    **{str(number): word for number, word in enumerate((*_TO_TEN, *_TEENS, "twenty"))},
    "23": "twenty-three",
    "none": "zero",
}
_WORD = re.compile(rf"\b({'|'.join(sorted(_WORDS, key=len, reverse=True))})\b")
_OTHER_SIGNS = re.compile(r"[^a-zA-Z0-9,'\s\-:]+")
_BROKEN_CLOCK = re.compile(r"\bo' +clock\b")
_NUMBERED = re.compile(r"\b([a-zA-Z]+)[0-9]\b")  # chair2
_ARTICLES = [re.compile(rf"\b{article}\b ([a-zA-Z]+)") for article in ("a", "an", "the")]
_BACKWARDS = re.compile(r"\bbackwards\b")

_SCANQA_KINDS = {
    "place": ("Where",),
    "number": ("How many",),
    "color": ("What color", "What is the color"),
    "object nature": ("What shape", "What type", "What kind"),
    "object": ("What is",),
}
_SQA3D_KINDS = ("what", "is", "how", "can", "which")
_OTHER = "other"


def clean_answer(text: str) -> str:
    """An answer as LEO compares it: lower case, ASCII, numbers as words, no articles, known typos mended.

    Its order of steps is kept, with what follows from it: signs are taken out after spaces, so "chair ."
    keeps one at its end, and "chair" is no exact match of it.
    """
    text = re.sub(" +$", "", text.lower()).lstrip(" ")  # also before a line break at the end
    text = re.sub(" {2,}", " ", text)
    text = _OTHER_SIGNS.sub("", text)
    text = _WORD.sub(lambda match: _WORDS[match[0]], text)
    text = _BROKEN_CLOCK.sub("o'clock", text)
    text = _NUMBERED.sub(r"\1", text)
    for article in _ARTICLES:
        text = article.sub(r"\1", text)
    return _BACKWARDS.sub("backward", text)


def is_empty_answer(answer: str) -> bool:
    """Whether cleaning leaves nothing of it: it says nothing."""
    return not clean_answer(answer).strip()


def is_exact_answer(answer: str, references: Sequence[str]) -> bool:
    """Whether the answer is one of the references, letter for letter."""
    return bool(answer) and answer in references


def is_refined_match(answer: str, references: Sequence[str]) -> bool:
    """Whether the answer holds a reference or a reference holds it, spaces left out; all come cleaned."""
    said = _joined(answer)
    wanted = [joined for joined in map(_joined, references) if joined]
    return bool(said) and any(said in other or other in said for other in wanted)


def is_loose_match(answer: str, references: Sequence[str]) -> bool:
    """Whether a reference holds the cleaned answer, spaces left out, or shares a word with it."""
    said = _joined(answer)
    words = set(answer.split())
    return bool(said) and any(
        said in _joined(reference) or not words.isdisjoint(reference.split()) for reference in references
    )


def question_kinds(benchmark: Benchmark) -> tuple[str, ...]:
    """The kinds that a benchmark's questions are reported by, in its order."""
    return (*(_SCANQA_KINDS if benchmark == "scanqa" else _SQA3D_KINDS), _OTHER)


def question_kind(benchmark: Benchmark, question: str) -> str:
    """The kind of a question: by what is in it (ScanQA's own script), or by its first word (SQA3D)."""
    if benchmark == "sqa3d":
        start = question.lstrip().lower()
        return next((kind for kind in _SQA3D_KINDS if start.startswith(kind)), _OTHER)
    for kind, phrases in _SCANQA_KINDS.items():
        if any(phrase in question for phrase in phrases):
            return kind
    return _OTHER


def _joined(text: str) -> str:
    return "".join(text.split())
