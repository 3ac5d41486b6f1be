"""A request's bytes to its JSON object and the files that came with it.

`application/json` is OpenAI's own form. `multipart/form-data` brings files as they are: the field `request`
holds the same JSON object, which names a file as `attachment://` and its field; without such a name all files
stand in front of the last question, and animated pictures are videos, as in `oryx ask`. The field `question`
is short for a request of one message.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from email.message import Message
from mimetypes import guess_type
from typing import Any, NoReturn

from starlette.datastructures import UploadFile
from starlette.requests import Request

from oryx.media.animation import is_played
from oryx.serving.errors import RequestError
from oryx.serving.http.chat_request import ChatRequest
from oryx.serving.http.dials import REQUEST_DIALS

ATTACHMENT = "attachment://"
"""Begins the address of a file that came with the request."""

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_MAX_VALUES = 200_000
"""Of a JSON text: read, each takes up to a hundred bytes, while nobody else is served."""
_MAX_FIELDS = 8
_MEANT_AS_QUESTION = ("text", "prompt", "message", "content", "query", "input", "q")
_MAX_PARTS = 1000


@dataclass(frozen=True)
class Received:
    """What a client sent."""

    payload: dict[str, Any]
    attachments: Mapping[str, bytes] = field(default_factory=dict)
    """The files, by the names that `payload` uses."""


async def read_request(request: Request, max_bytes: int) -> Received:
    """Read the body of a chat request.

    Raises:
        RequestError: another content type (415), or a body that is not what its type says.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
        return Received(parse_object(bytes(body), "the body"))
    if kind == "multipart/form-data":
        _check_charset(request.headers["content-type"])
        async with request.form(
            max_files=_MAX_PARTS, max_fields=_MAX_FIELDS, max_part_size=max_bytes
        ) as form:
            return await _read_form(form.multi_items())
    raise RequestError(
        "the content type must be application/json (curl -H 'Content-Type: application/json') or "
        "multipart/form-data (curl -F).",
        status=415,
        code="unsupported_media_type",
    )


def _check_charset(content_type: str) -> None:
    """The client names the codec of a form, and some take hours for what others read at once."""
    message = Message()
    message["content-type"] = content_type
    charset = message.get_param("charset", "utf-8")
    if not isinstance(charset, str) or charset.lower() not in ("utf-8", "utf8"):
        raise RequestError("the charset of a form must be utf-8.", code="malformed_body")


def parse_object(body: bytes, what: str) -> dict[str, Any]:
    """The JSON object in `body`.

    Raises:
        RequestError: it is none; `what` names the text in the sentence.
    """
    # Each value stands behind one of these, and some of them are text.
    num_values = sum(map(body.count, (b",", b"[", b"{")))
    if num_values > _MAX_VALUES:
        raise _malformed(
            f"{what} has {num_values:,} commas and opening brackets; at most {_MAX_VALUES:,} are read."
        )
    try:
        value = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
        if _SURROGATE.search(body):  # half of a character, which no text can hold
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except json.JSONDecodeError as error:
        raise _malformed(
            f"{what} is no JSON: {error.msg} at line {error.lineno}, column {error.colno}."
        ) from None
    except UnicodeError:
        raise _malformed(f"{what} is not UTF-8 text.") from None
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else "a number of it is none"
        raise _malformed(f"{what} is no JSON that can be read: {reason}.") from None
    if not isinstance(value, dict):
        raise _malformed(f"{what} must be a JSON object.")
    return value


async def _read_form(items: list[tuple[str, Any]]) -> Received:
    texts: dict[str, bytes] = {}
    files: list[tuple[str, UploadFile]] = []
    for name, value in items:
        if name in ("request", "question"):
            if name in texts:
                raise _malformed(f"the form has the field {name!r} twice.")
            is_file = isinstance(value, UploadFile)
            texts[name] = await value.read() if is_file else value.encode("utf-8", "surrogatepass")
        elif isinstance(value, UploadFile):
            files.append((name, value))
        else:
            raise _malformed(_why_not_text(name))
    payload = parse_object(texts["request"], "the field request") if "request" in texts else {}
    if "question" in texts:
        if "messages" in payload:
            raise _malformed("question stands for the messages: leave one of them out.")
        payload["messages"] = [{"role": "user", "content": _as_text(texts["question"])}]
    if not texts:
        files_but = "has files but no question: it" if files else "has no question: it"
        raise _malformed(
            f'the form {files_but} needs a field question (curl -F question="..."), or a field request with '
            "the JSON object of a request."
        )
    named = _attachment_names(payload)
    if not named:
        return await _put_in_front(payload, files)
    return Received(payload, await _by_name(named, files))


async def _by_name(named: set[str], files: list[tuple[str, UploadFile]]) -> dict[str, bytes]:
    names = [name for name, _ in files]
    for name in names:
        if names.count(name) > 1:
            raise _malformed(
                f"two files have the field {name[:60]!r}; {ATTACHMENT}{name[:60]} cannot mean both."
            )
        if name not in named:
            raise _malformed(f"nothing in the request names the file {ATTACHMENT}{name[:60]}.")
    return {name: await file.read() for name, file in files}


async def _put_in_front(payload: dict[str, Any], files: list[tuple[str, UploadFile]]) -> Received:
    """All files before the last message's own content, in the order in which they came."""
    if not files:
        return Received(payload)
    messages = payload.get("messages")
    if not isinstance(messages, list):
        messages = []
    last = messages[-1] if messages else None
    content = last.get("content") if isinstance(last, dict) else None
    if not isinstance(last, dict) or not isinstance(content, str | list):
        raise _malformed(
            'the form has files but no question: add one (curl -F question="..."), or to the request a last '
            "message whose content is text or a list of parts."
        )
    attachments: dict[str, bytes] = {}
    parts = []
    names = [name for name, _ in files]
    for index, (name, file) in enumerate(files):
        kind, data = _kind(name, file), await file.read()
        if kind == "image_url" and is_played(data):
            kind = "video_url"
        if names.count(name) > 1:
            name = f"{name}[{names[:index].count(name)}]"
        if name in attachments:  # a[0] is the first of two named a
            raise _malformed(f"the form's files have names that are too much alike ({name[:60]!r}).")
        attachments[name] = data
        parts.append({"type": kind, kind: {"url": f"{ATTACHMENT}{name}"}})
    own = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return Received(
        {**payload, "messages": [*messages[:-1], {**last, "content": [*parts, *own]}]}, attachments
    )


def _kind(name: str, file: UploadFile) -> str:
    """`image_url` or `video_url`, by what the client calls the file; its content is judged when decoded."""
    for guess in (file.content_type, guess_type(file.filename or "")[0]):
        for kind in ("image", "video"):
            if (guess or "").lower().startswith(kind + "/"):
                return f"{kind}_url"
    raise _malformed(
        f"the file {name[:60]!r} is called neither a picture nor a video: give it an ending such as .png or "
        f".mp4, or a type (curl -F '{name[:60]}=@FILE;type=image/png')."
    )


def _why_not_text(name: str) -> str:
    """What to do with a field that is text and is neither `request` nor `question`."""
    start = f"the form's field {name[:60]!r} is text"
    example = f'"{name}": ...'
    if name in REQUEST_DIALS:
        example = f'"mm_processor_kwargs": {{{example}}}'
    if name in REQUEST_DIALS or name in ChatRequest.model_fields:
        kind = "dial" if name in REQUEST_DIALS else "parameter"
        return f"{start} and a {kind}: put it in the field request (curl -F 'request={{{example}}}')."
    if name.lower() in _MEANT_AS_QUESTION or get_close_matches(name.lower(), ["question"]):
        return f'{start}; did you mean question, as in curl -F question="...".'
    return (
        f"{start}; besides request and question, fields are files (curl -F {name[:60]}=@FILE); "
        "the question goes in question."
    )


def _attachment_names(value: Any) -> set[str]:
    """Names of all files that a payload's messages refer to."""
    names: set[str] = set()
    for message in value.get("messages") if isinstance(value.get("messages"), list) else ():
        content = message.get("content") if isinstance(message, dict) else None
        for part in content if isinstance(content, list) else ():
            for inner in part.values() if isinstance(part, dict) else ():
                url = inner.get("url") if isinstance(inner, dict) else inner
                if isinstance(url, str) and url.startswith(ATTACHMENT):
                    names.add(url.removeprefix(ATTACHMENT))
    return names


def _as_text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeError:
        raise _malformed("the field question is not UTF-8 text.") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _malformed(message: str) -> RequestError:
    return RequestError(message, code="malformed_body")
