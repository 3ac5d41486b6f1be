"""A row to the job for the encoding workers and the way its answer is chosen.

A row has an id and `messages`, or an id, a `question` and `media`; beside them the dials of its media and the
settings of its answer. OpenAI's batch rows (`custom_id`, `body`) are taken, too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from oryx.errors import ConfigError
from oryx.fields import build
from oryx.processing.budget import Budget
from oryx.processing.geometry import nearest
from oryx.processing.visuals import DIALS, check_numbers, check_switch
from oryx.serving.batch.inputs import Row
from oryx.serving.batch.messages import question_parts, read_parts
from oryx.serving.batch.places import Places
from oryx.serving.encoding import EncodingJob
from oryx.serving.engine import Sampling, check_sampling
from oryx.serving.scenes import with_line_breaks

SAMPLING = ("max_tokens", "temperature", "top_p", "top_k", "repetition_penalty", "stop", "seed", "ignore_eos")
ROW_DIALS = (*DIALS, "budget", "prompt_style", "views")
_ALIASES = {"max_completion_tokens": "max_tokens", "max_new_tokens": "max_tokens"}
_KEYS = ("id", "messages", "question", "media", *ROW_DIALS, *SAMPLING, *_ALIASES)
_OPENAI_KEYS = ("custom_id", "method", "url", "body")
_BODY_KEYS = ("model", "messages", "mm_processor_kwargs", "stream", "n", "metadata", *SAMPLING, *_ALIASES)
_URL = "/v1/chat/completions"


@dataclass(frozen=True)
class RowDefaults:
    """What rows leave out, and where their media are."""

    places: Places
    dials: Mapping[str, Any] = field(default_factory=dict)
    """Any of `ROW_DIALS`."""
    sampling: Sampling = field(default_factory=lambda: Sampling(max_tokens=256))
    """Its seed is the whole batch's: each row gets one of its own, made of it and of the row's id."""
    ignored: frozenset[str] = frozenset()
    """Keys of rows that are not read."""


def read_row(row: Row, defaults: RowDefaults) -> tuple[EncodingJob, Sampling]:
    """The job and the sampling of a row that has content.

    Raises:
        OryxError: an unknown key or dial, a value out of range, or a row without a question.
    """
    assert row.content is not None
    content = {key: value for key, value in row.content.items() if key not in defaults.ignored}
    if "custom_id" in content or "body" in content:
        content = _from_openai(content)
    for key in content:
        if key not in _KEYS:
            raise ConfigError(f"a row has no key {key!r}; {nearest(key, _KEYS)}.")
    dials = {**defaults.dials, **{key: content[key] for key in ROW_DIALS if key in content}}
    budget, style, views = (dials.pop(name, None) for name in ("budget", "prompt_style", "views"))
    Budget.parse(budget)
    check_numbers(dials)
    dials = _with_paths(dials, defaults.places)
    is_scene = check_switch({"views": views}, "views")
    job = EncodingJob(_messages(content, dials, defaults.places, is_scene), dials, budget, style)
    return job, _sampling(content, defaults.sampling, str(row.id))


def _messages(
    content: Mapping[str, Any], dials: Mapping[str, Any], places: Places, is_scene: bool
) -> tuple[dict[str, Any], ...]:
    """Messages as the processor takes them; visuals hold bytes or paths."""
    if "messages" in content:
        for other in ("question", "media"):
            if other in content:
                raise ConfigError(
                    f"a row has either messages or a question with its media, not also {other}."
                )
        return read_messages(content["messages"], places, is_scene)
    question, media = content.get("question"), content.get("media", [])
    if not isinstance(question, str) or not question.strip():
        raise ConfigError("a row needs messages, or a question, which is a text.")
    media = [media] if isinstance(media, str) else media
    if not isinstance(media, list) or not all(isinstance(name, str) and name for name in media):
        raise ConfigError("media must be a path or a list of paths.")
    chooses_frames = "max_frames" in dials or "fps" in dials
    parts = question_parts(question, media, places, is_scene, chooses_frames)
    return ({"role": "user", "content": parts},)


def read_messages(messages: Any, places: Places, is_scene: bool) -> tuple[dict[str, Any], ...]:
    """Chat messages, of which each content is text or a list of parts; JSON text of them is read.

    Args:
        is_scene: the pictures of a message are views of one scene.

    Raises:
        OryxError: another form, or a visual that cannot be.
    """
    if isinstance(messages, str):  # a column of a table, which cannot hold every form
        try:
            messages = json.loads(messages)
        except ValueError:
            raise ConfigError("messages is a text that is no JSON; it must be a list of messages.") from None
    if not isinstance(messages, list) or not messages:
        raise ConfigError("messages must be a list of at least one message.")
    read = []
    for index, message in enumerate(messages):
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            raise ConfigError(f'message {index} must be {{"role": ..., "content": ...}}.')
        content = message.get("content", "")
        if not isinstance(content, str | list):
            raise ConfigError(f"the content of message {index} must be text or a list of parts.")
        if isinstance(content, list):
            content = with_line_breaks(read_parts(content, places, index, is_scene))
        role = "system" if message["role"] == "developer" else message["role"]
        read.append({"role": role, "content": content})
    return tuple(read)


def _sampling(content: Mapping[str, Any], defaults: Sampling, row_id: str) -> Sampling:
    given = {key: content[key] for key in SAMPLING if key in content}
    for alias, name in _ALIASES.items():
        if alias in content:
            if name in given:
                raise ConfigError(f"{alias} and {name} say the same; leave one out.")
            given[name] = content[alias]
    if isinstance(given.get("stop"), str):
        given["stop"] = [given["stop"]]
    chosen = build(Sampling, {**_as_settings(defaults), **given}, lambda key: key)
    if chosen.top_k == -1:  # vLLM's users say so for all
        chosen = replace(chosen, top_k=0)
    check_sampling(chosen)
    if "seed" not in given and chosen.temperature:
        # However the row is run and run again, it is answered alike.
        digest = hashlib.blake2b(f"{defaults.seed or 0}/{row_id}".encode(), digest_size=4).digest()
        chosen = replace(chosen, seed=int.from_bytes(digest) >> 1)
    return chosen


def _as_settings(sampling: Sampling) -> dict[str, Any]:
    return {name: getattr(sampling, name) for name in SAMPLING}


def _from_openai(content: Mapping[str, Any]) -> dict[str, Any]:
    """A row of OpenAI's batch format, in our keys."""
    _check_known(content, _OPENAI_KEYS, "a row of OpenAI's batch format")
    body = content.get("body")
    if not isinstance(body, Mapping):
        raise ConfigError("the body of a row of OpenAI's batch format must be an object.")
    if content.get("method", "POST") != "POST" or content.get("url", _URL) != _URL:
        raise ConfigError(f"a row of OpenAI's batch format must be a POST to {_URL}.")
    _check_known(body, _BODY_KEYS, "the body of a row")
    if body.get("stream") or body.get("n", 1) != 1:
        raise ConfigError("stream must be false and n must be 1.")
    dials = body.get("mm_processor_kwargs", {})
    if not isinstance(dials, Mapping):
        raise ConfigError("mm_processor_kwargs must be an object of dials.")
    _check_known(dials, ROW_DIALS, "mm_processor_kwargs")
    own = {key: value for key, value in body.items() if key in ("messages", *SAMPLING, *_ALIASES)}
    return {"id": content.get("custom_id"), **own, **dials}


def _check_known(given: Mapping[str, Any], known: Sequence[str], what: str) -> None:
    for key in given:
        if key not in known:
            raise ConfigError(f"{what} has no key {key!r}; {nearest(key, known)}.")


def _with_paths(dials: Mapping[str, Any], places: Places) -> dict[str, Any]:
    subtitles = dials.get("subtitles")
    return {**dials, "subtitles": places.path(subtitles)} if isinstance(subtitles, str) else dict(dials)
