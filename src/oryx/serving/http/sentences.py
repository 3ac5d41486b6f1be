"""Pydantic's list of errors as one sentence: the field, and what is allowed there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from oryx.serving.errors import RequestError

_PHRASES = {
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "finite_number": "must be a finite number",
    "string_too_short": "must not be empty",
}
_WORDS = (
    ("Input should be", "must be"),
    ("String should have", "must have"),
    ("greater than or equal to", "at least"),
    ("less than or equal to", "at most"),
    ("greater than", "above"),
    ("less than", "below"),
)
_TAG = ("image_url", "input_image", "video_url", "text", "input_text", "output_text")


def sentence_of(error: ValidationError) -> RequestError:
    """The first thing that is wrong, as an error for the client."""
    first = error.errors(include_url=False)[0]
    kind, place = first["type"], _place(first["loc"])
    context: dict[str, Any] = first.get("ctx") or {}
    if kind == "missing":
        text = f"{place} is missing"
    elif kind == "extra_forbidden":
        text = f"{place} is not known here"
    elif kind == "union_tag_invalid":
        allowed = re.findall(r"'([^']*)'", context["expected_tags"])
        text = f"{place}.type is {_show(context['tag'])}; {_nearest_type(context['tag'], allowed)}"
    elif kind == "union_tag_not_found":
        text = f"{place} must be an object with a type: {', '.join(_TAG)}"
    elif kind in ("too_short", "too_long"):
        bound = (
            f"at least {context['min_length']}" if kind == "too_short" else f"at most {context['max_length']}"
        )
        text = f"{place} must have {bound} entries, not {context['actual_length']}"
    else:
        text = f"{place} {_PHRASES.get(kind) or _reworded(first['msg'])}, not {_show(first['input'])}"
    return RequestError(f"{text}.", code="invalid_parameter", param=place)


def _nearest_type(tag: object, allowed: Sequence[str]) -> str:
    """All types, for there are few, and first the one that was meant if it is near enough to be sure."""
    close = get_close_matches(str(tag), allowed, n=1, cutoff=0.7)
    known = f"known types are {', '.join(allowed)}"
    return f"did you mean {close[0]!r}? The {known}" if close else f"the {known}"


def _reworded(message: str) -> str:
    for theirs, ours in _WORDS:
        message = message.replace(theirs, ours)
    return message


def _place(location: Sequence[int | str]) -> str:
    """`messages[0].content[1].image_url.url`: without the kind of the part, which pydantic puts in."""
    text = ""
    for index, step in enumerate(location):
        if isinstance(step, int):
            text += f"[{step}]"
        elif not (index and isinstance(location[index - 1], int) and step in _TAG):
            text += f".{step}" if text else str(step)
    return text or "the request"


def _show(value: Any) -> str:
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
