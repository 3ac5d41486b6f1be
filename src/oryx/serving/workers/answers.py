"""Replies of workers to prompts and refusals. A worker's word is checked: a file may have taken it over."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, NoReturn

from oryx.processing.collate import EncodedSample
from oryx.serving.engine import Prompt
from oryx.serving.errors import RequestError
from oryx.serving.workers.channel import ARRAYS
from oryx.serving.workers.refusals import worker_died
from oryx.serving.workers.worker import Reply

logger = logging.getLogger(__name__)


def read_prompt(answer: Reply) -> Prompt:
    """The prompt that a worker sent, or the refusal."""
    fields, arrays = answer.fields, answer.arrays
    if fields.get("kind") != "prompt":
        refuse(fields)
    try:
        spans = [(int(start), int(stop)) for start, stop in fields["spans"]]
        own: dict[str, Any] = {name: arrays[name] for name in ARRAYS if name != "patches"}
        sample = EncodedSample(labels=None, patches=arrays.get("patches"), spans=spans, **own)
        return Prompt(sample, tuple(map(str, fields["keys"])), sum(stop - start for start, stop in spans))
    except (KeyError, TypeError, ValueError):  # only a worker that was taken over says such things
        raise worker_died() from None


def refuse(fields: Mapping[str, Any]) -> NoReturn:
    """Raise what a worker refused a job with."""
    if fields.get("detail"):
        logger.error("a request could not be processed:\n%s", fields["detail"])
    try:
        message, status = str(fields["message"]), int(fields["status"])
    except (KeyError, TypeError, ValueError):
        raise worker_died() from None
    raise RequestError(message, status=status, code=fields.get("code"), param="messages")


def stopped() -> RequestError:
    return unable("the server is stopping.", "stopping")


def unable(message: str, code: str) -> RequestError:
    return RequestError(message, status=503, type="server_error", code=code)
