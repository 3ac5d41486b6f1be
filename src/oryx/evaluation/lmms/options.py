"""Letters of options in free answers, read without guessing.

The rules are those of MMMU's evaluation, which NextQA's took over, and of LongVideoBench's; but where these
draw a letter at random if there is none to read, here the answer counts as wrong.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

_STRIPPED = ",.!?;:'"
_LONG_ANSWER = 5
"""Words above which an answer may name an option by its text."""


def read_option(answer: str, options: Mapping[str, str]) -> str | None:
    """The letter that an answer names: the last in brackets, else before a space, else before a full stop.

    An answer of more than five words that has none of these may name the text of an option.

    Args:
        answer: what the model said.
        options: letter -> text.
    """
    for character in _STRIPPED:
        answer = answer.strip(character)
    padded = f" {answer} "
    for form in ("({})", "{} ", "{}."):
        named = [letter for letter in options if form.format(letter) in padded]
        if named:
            where = form if form == "({})" else " {} "
            return max(named, key=lambda letter: padded.rfind(where.format(letter)))
    if len(padded.split()) > _LONG_ANSWER:
        said = padded.lower()
        named = [letter for letter, text in options.items() if text.lower() in said]
        if named:
            return max(named, key=lambda letter: said.rfind(options[letter].lower()))
    return None


def read_first_letter(answer: str, letters: Sequence[str]) -> str | None:
    """The first of the letters in an answer, as LongVideoBench reads it; "The answer is" is passed over."""
    for opening in _OPENINGS:
        answer = answer.replace(opening, "")
    found = re.search(f"[{''.join(letters)}]", answer)
    return found[0] if found else None


_OPENINGS = (
    "The best answer is",
    "The correct answer is",
    "The answer is",
    "The answer",
    "The best option is",
    "The correct option is",
    "Best answer:",
    "Best option:",
)
