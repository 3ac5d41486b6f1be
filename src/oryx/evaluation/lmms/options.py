"""Letters of options in free answers, read without guessing.

lmms-eval's tasks take any letter for an answer in the end ("Cannot tell" names C), or draw one at random.
Here a letter must stand alone, and an answer without one counts as wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

_LONG_ANSWER = 5
"""Words above which an answer may name an option by its text, as in MMMU's evaluation."""
_ALONE = r"(?<![\w.-])(?<!\w['\u2019]){}(?!['\u2019.-]?\w)"
_WORD = r"\b[AI](?= (?!is\b|or\b|and\b|because\b)[A-Za-z])"
"""The article, and the pronoun."""


def read_option(answer: str, options: Mapping[str, str] | Iterable[str]) -> str | None:
    """The letter that an answer names: the last in brackets, else the one it opens with, else the last.

    An answer of more than five words that has none of these may name the text of an option.

    Args:
        answer: what the model said.
        options: letter -> text; or letters, where no text is to be looked for.
    """
    texts = options if isinstance(options, Mapping) else dict.fromkeys(options, "")
    letter = f"([{''.join(texts)}])"
    said = re.sub(_WORD, "", answer)
    for form in (rf"\({letter}\)", rf"^\W*{letter}(?=\W*$|[^\w\s'\u2019-])", _ALONE.format(letter)):
        named = re.findall(form, said)
        if named:
            return str(named[-1])
    if len(answer.split()) > _LONG_ANSWER:
        ends = {name: _end(text, answer) for name, text in texts.items() if text.strip()}
        last = max(ends, key=lambda name: ends[name], default=None)
        return last if last is not None and ends[last] >= 0 else None
    return None


def score_option(
    score: Callable[..., dict[str, Any]],
    doc: Mapping[str, Any],
    results: Sequence[str],
    options: Mapping[str, str] | Iterable[str],
) -> dict[str, Any]:
    """What a task of lmms-eval makes of the letter that an answer names, and whether it names none.

    Args:
        score: the task's own `process_results`; of an answer without a letter it is given the empty one.
    """
    letter = read_option(results[0], options)
    return {**score(doc, [letter or ""]), "unparsed": float(letter is None)}


def _end(text: str, answer: str) -> int:
    """Where a text stands in an answer for the last time; -1 if it does not."""
    found = list(re.finditer(rf"(?<!\w){re.escape(text.strip())}(?!\w)", answer, re.IGNORECASE))
    return found[-1].end() if found else -1
