"""What a captioner may not say: nothing, a refusal, a loop, a marker, broken text, more than one reads."""

from __future__ import annotations

import re
from itertools import groupby

MAX_WORDS = 300

# The beginnings of sentences with which assistants refuse, without regard to case.
_REFUSAL = re.compile(
    r"^\W*(i('| a)?m (very |so )?(sorry|unable|not able)|sorry(?![\w-])|i apologi[sz]e|unfortunately, i"
    r"|i (can ?not|can'?t|could not|couldn't|do not|don'?t) (see|view|assist|help|provide|describe|process"
    r"|access|identify|have)|as an ai|as a (large )?language model"
    r"|(please|could you|can you)( please)? (provide|upload|share|send)"
    r"|no images?\b(?!\s(of|on|in|with|from|at)\b))",
    re.IGNORECASE,
)
# What the reader of the records would take for a place to fill in, or the chat for the end of a turn.
_MARKERS = re.compile(r"<(image|video|idx\d?)>|<\|[^|>]{1,40}\|>")
_HALVES = re.compile("[\ud800-\udfff]")  # of an emoji cut in two: no tokenizer takes them
_MIN_LETTERS = 0.5
_MAX_RUN = 5
_LOOP_WORDS, _LOOP_SHARE = 24, 0.3


def find_fault(answer: str) -> str | None:
    """Why the answer is no caption, in a word or two; None for one that will do."""
    words = answer.split()
    if not words:
        return "empty"
    if _REFUSAL.search(answer):
        return "refusal"
    if len(words) > MAX_WORDS or len(answer) > 12 * MAX_WORDS:
        return "too long"
    if _MARKERS.search(answer):
        return "marker"
    if _HALVES.search(answer):
        return "broken text"
    solid = [character for character in answer if not character.isspace()]
    if sum(character.isalpha() for character in solid) < _MIN_LETTERS * len(solid):
        return "no words"
    if _loops([word.casefold().strip(".,;:!?") for word in words]):
        return "loop"
    return None


def _loops(words: list[str]) -> bool:
    """A word many times in a row, or few different words in a long text."""
    if max(len(list(group)) for _, group in groupby(words)) > _MAX_RUN:
        return True
    return len(words) >= _LOOP_WORDS and len(set(words)) < _LOOP_SHARE * len(words)
