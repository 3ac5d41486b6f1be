"""A checked request to the job that the encoding workers take: laid out at once, its media fetched later."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

from oryx.errors import ConfigError
from oryx.media.image import describe
from oryx.serving.encoding import EncodingJob
from oryx.serving.errors import RequestError
from oryx.serving.http.chat_request import Address, Checked, ImagePart, TextPart, VideoPart
from oryx.serving.http.dials import read_part_dials
from oryx.serving.http.reading import ATTACHMENT
from oryx.serving.media.data_url import is_data_url
from oryx.serving.media.files import shown
from oryx.serving.scenes import as_scene, with_line_breaks

Kind = Literal["image", "video"]
_UNNAMED = describe(b"")
_NUMBERED = re.compile(r"visual (\d{1,6}) of \d+: ")


class Loader(Protocol):
    """Gets media that a client names, as far as the server has opened them."""

    async def load_all(self, sources: Sequence[tuple[str, Kind]]) -> list[bytes | Path]:
        """The bytes of data URLs and allowed addresses, and allowed paths, of one request.

        Raises:
            RequestError: a source that is not allowed, too large, or not there.
        """


@dataclass(frozen=True, eq=False)
class Named:
    """A medium that a client names."""

    url: str
    kind: Kind
    name: str
    """What messages call it."""
    content: bytes | None = None
    """None while it is to be fetched."""


def lay_out(checked: Checked, attachments: Mapping[str, bytes]) -> EncodingJob:
    """The job of a request, but for its media: `Named` stands for each of them.

    It takes no time, so whatever is wrong is said before the request waits for anything. A line break stands
    behind each visual, as in training and in `oryx ask`, unless the text that follows begins with one.

    Raises:
        RequestError: an attachment that is not there, a dial that a part does not have or that is out of
            range, or views whose dials differ.
    """
    body, dials = checked.body, checked.dials
    messages = []
    for index, message in enumerate(body.messages):
        parts: list[dict[str, Any]] = []
        for number, part in enumerate(message.content):
            if isinstance(part, TextPart):
                parts.append({"type": "text", "text": part.text})
                continue
            kind, address = _address(part)
            place = f"messages[{index}].content[{number}]"
            if address.url.startswith(ATTACHMENT):
                name = f"the file {address.url.removeprefix(ATTACHMENT)[:60]!r}"
                source = Named(address.url, kind, name, _attached(address.url, attachments, place))
            else:
                name = f"the data URL of {place}" if is_data_url(address.url) else shown(address.url)
                source = Named(address.url, kind, name)
            parts.append({"type": kind, kind: source, **_part_dials(part, kind, address, place)})
        messages.append(
            {
                "role": "system" if message.role == "developer" else message.role,
                "content": with_line_breaks(_scene(parts, index) if dials.views else parts),
            }
        )
    return EncodingJob(
        messages=tuple(messages),
        dials=dials.visual,
        budget=dials.budget,
        prompt_style=dials.prompt_style,
        continue_final_message=bool(body.continue_final_message),
    )


async def fetch_media(job: EncodingJob, loader: Loader) -> EncodingJob:
    """The job with its media in the places of their names.

    Raises:
        RequestError: a medium that the loader refuses.
    """
    named = [source for sources in _sources(job) for source in sources]
    if not named:
        return job
    loaded: dict[Named, Any] = {source: source.content for source in named}
    waiting = [source for source in named if source.content is None]
    if waiting:
        fetched = await loader.load_all([(source.url, source.kind) for source in waiting])
        loaded.update(zip(waiting, fetched))

    def put(value: Any) -> Any:
        if isinstance(value, list):
            return [put(item) for item in value]
        return loaded[value] if isinstance(value, Named) else value

    messages = []
    for message in job.messages:
        parts = [{key: put(value) for key, value in part.items()} for part in message["content"]]
        messages.append({**message, "content": parts})
    return replace(job, messages=tuple(messages))


def with_name(error: RequestError, job: EncodingJob) -> RequestError:
    """The error of a worker, which does not know what the client calls the bytes that it was given.

    Args:
        job: of `lay_out`.
    """
    visuals = _sources(job)
    numbered = _NUMBERED.match(error.message)
    place = int(numbered[1]) - 1 if numbered else 0
    if _UNNAMED not in error.message or not 0 <= place < len(visuals):
        return error
    sources = visuals[place]
    name = sources[0].name if len(sources) == 1 else f"one of the {len(sources)} views"
    message = error.message.replace(_UNNAMED, name)
    return RequestError(message, error.status, error.type, error.code, error.param)


def _sources(job: EncodingJob) -> list[list[Named]]:
    """Of each visual: one, or those of its views."""
    parts = [part for message in job.messages for part in message["content"] if part["type"] != "text"]
    return [part["views"] if part["type"] == "views" else [part[part["type"]]] for part in parts]


def _address(part: ImagePart | VideoPart) -> tuple[Kind, Address]:
    return ("image", part.image_url) if isinstance(part, ImagePart) else ("video", part.video_url)


def _part_dials(part: ImagePart | VideoPart, kind: Kind, address: Address, place: str) -> dict[str, Any]:
    dials = part.model_extra or {}
    if address.detail is not None:
        if kind == "video":
            raise RequestError(
                "a video has no detail; its dial is compression.", param=f"{place}.video_url.detail"
            )
        dials = {**dials, "detail": address.detail}
    return read_part_dials(dials, kind, place)


def _attached(url: str, attachments: Mapping[str, bytes], place: str) -> bytes:
    name = url.removeprefix(ATTACHMENT)
    if name not in attachments:
        known = f"the files are {', '.join(attachments)}" if attachments else "no file came with the request"
        raise RequestError(
            f"there is no attachment {name[:60]!r}; {known[:300]}.", code="unknown_attachment", param=place
        )
    return attachments[name]


def _scene(parts: list[dict[str, Any]], index: int) -> list[dict[str, Any]]:
    try:
        return as_scene(parts)
    except ConfigError as error:
        raise RequestError(str(error), param=f"messages[{index}]") from None
