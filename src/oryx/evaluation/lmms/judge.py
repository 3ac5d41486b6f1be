"""Answers graded by another model, over any server that speaks OpenAI's chat completions.

lmms-eval's own judged tasks read the same settings: `OPENAI_API_URL` (the whole address, `/chat/completions`
included), `OPENAI_API_KEY`, `MODEL_VERSION`. A judge that fails or says something else than a grade gives 0
points, and is counted.
"""

from __future__ import annotations

import ast
import json
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from oryx.errors import OryxError

DEFAULT_URL = "https://api.openai.com/v1/chat/completions"
DEFAULT_MODEL = "gpt-4o-2024-11-20"
_PAUSES = (1.0, 4.0)
"""Seconds between tries."""
_TIMEOUT = 60


class JudgeError(OryxError):
    """The judge gave no grade."""


@dataclass(frozen=True)
class Grade:
    """What a judge made of an answer."""

    points: int
    """0 where it failed."""
    problem: str = ""
    """Why it gave none; "" where it did."""

    @property
    def num_failures(self) -> int:
        """1 if there is no grade, else 0."""
        return int(bool(self.problem))


def grade(ask: Callable[[], str], highest: int, answers: Sequence[str]) -> Grade:
    """The grade that `ask` comes back with, between 0 and `highest`; whatever goes wrong is a failure.

    Args:
        answers: what is graded. An empty one is worth nothing, and the judge is not asked.
    """
    if not all(answer.strip() for answer in answers):
        return Grade(0)
    try:
        reply = str(ask())
    except Exception as error:  # lmms-eval's clients raise whatever happens to them
        return Grade(0, f"the judge failed ({type(error).__name__}: {error})")
    points = read_grade(reply, highest)
    return Grade(0, f"the judge gave no grade but {reply[:200]!r}") if points is None else Grade(points)


def read_grade(reply: str, highest: int) -> int | None:
    """A whole grade from 0 to `highest`: a number alone, or `{'score': number}`; None for anything else."""
    text = reply.strip().removeprefix("```python").removeprefix("```json").strip("`").strip()
    if re.fullmatch(r"\d+(\.\d+)?\.?", text):
        value: Any = float(text.rstrip("."))
    else:
        try:
            read = ast.literal_eval(text)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            return None
        value = read.get("score") if isinstance(read, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= highest:
        return None
    return int(value)


def ask_judge(messages: Sequence[dict[str, str]], max_tokens: int) -> str:
    """What the judge replies.

    Raises:
        JudgeError: it cannot be reached, refuses, or its reply has no text; after three tries.
    """
    url = os.environ.get("OPENAI_API_URL") or DEFAULT_URL
    body = {
        "model": os.environ.get("MODEL_VERSION") or DEFAULT_MODEL,
        "messages": list(messages),
        "temperature": 0,
        "max_tokens": max_tokens,
    }
    headers = {
        "Content-Type": "application/json",
        "Authorization": f"Bearer {os.environ.get('OPENAI_API_KEY', '')}",
    }
    for pause in (*_PAUSES, None):
        request = urllib.request.Request(url, json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT) as response:
                return str(json.load(response)["choices"][0]["message"]["content"])
        except urllib.error.HTTPError as error:
            problem, is_final = f"{url} answered {error.code}", error.code in (400, 401, 403, 404)
        except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
            problem, is_final = f"{url}: {type(error).__name__}: {error}", False
        if is_final or pause is None:
            break
        time.sleep(pause)
    raise JudgeError(problem)
