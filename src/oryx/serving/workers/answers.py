"""Replies of workers to prompts and refusals. A worker's word is checked: a file may have taken it over.

It may then still lie about the media of the requests that it gets, but it reaches neither others' nor the
engine.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, NoReturn

from oryx.processing.collate import EncodedSample
from oryx.serving.encoding import EncodingLimits
from oryx.serving.errors import RequestError
from oryx.serving.quoting import quoted
from oryx.serving.workers.channel import ARRAYS, BrokenReplyError
from oryx.serving.workers.refusals import MAX_MESSAGE
from oryx.serving.workers.samples import PromptForm, check_sample
from oryx.serving.workers.worker import Reply

logger = logging.getLogger(__name__)


def read_sample(answer: Reply, form: PromptForm, limits: EncodingLimits) -> EncodedSample:
    """The prompt that a worker sent.

    Raises:
        RequestError: the worker refused.
        BrokenReplyError: it sent what no worker would that is its own master.
    """
    fields, arrays = answer.fields, answer.arrays
    if fields.get("kind") != "prompt":
        refuse(fields)
    try:
        spans = [(int(start), int(stop)) for start, stop in fields["spans"]]
        own: dict[str, Any] = {name: arrays[name] for name in ARRAYS if name != "patches"}
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise BrokenReplyError(f"it lacks {error}") from None
    sample = EncodedSample(labels=None, patches=arrays.get("patches"), spans=spans, **own)
    check_sample(sample, form, limits)
    return sample


def read_plan(answer: Reply) -> dict[str, Any]:
    """The forecast that a worker sent; errors as `read_sample`."""
    fields = answer.fields
    if fields.get("kind") != "plan":
        refuse(fields)
    if not isinstance(fields.get("plan"), dict):
        raise BrokenReplyError("it has no plan")
    return dict(fields["plan"])


def refuse(fields: Mapping[str, Any]) -> NoReturn:
    """Raise what a worker refused a job with; errors as `read_sample`."""
    message, status, code = fields.get("message"), fields.get("status"), fields.get("code")
    if fields.get("kind") != "refused" or not isinstance(message, str) or not isinstance(code, str | None):
        raise BrokenReplyError("it is no answer")
    if not isinstance(status, int) or not 400 <= status < 600:
        raise BrokenReplyError("its status is none of an error")
    if fields.get("detail"):
        logger.error("a request could not be processed:\n%s", quoted(str(fields["detail"])))
    raise RequestError(message[: MAX_MESSAGE + len("...")], status=status, code=code, param="messages")


def stopped() -> RequestError:
    return unable("the server is stopping.", "stopping")


def unable(message: str, code: str) -> RequestError:
    return RequestError(message, status=503, type="server_error", code=code)
