"""A checked request to the job that the encoding workers take: laid out at once, its media fetched later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

from oryx.errors import ConfigError
from oryx.serving.encoding import EncodingJob
from oryx.serving.errors import RequestError
from oryx.serving.http.chat_request import Address, Checked, ImagePart, TextPart, VideoPart
from oryx.serving.http.dials import read_part_dials
from oryx.serving.http.reading import ATTACHMENT
from oryx.serving.scenes import as_scene, with_line_breaks

Kind = Literal["image", "video"]


class Loader(Protocol):
    """Gets media that a client names, as far as the server has opened them."""

    async def load_all(self, sources: Sequence[tuple[str, Kind]]) -> list[bytes | Path]:
        """The bytes of data URLs and allowed addresses, and allowed paths, of one request.

        Raises:
            RequestError: a source that is not allowed, too large, or not there.
        """


@dataclass(frozen=True, eq=False)
class Named:
    """A medium that a client names and that is to be fetched."""

    url: str
    kind: Kind


def lay_out(checked: Checked, attachments: Mapping[str, bytes]) -> EncodingJob:
    """The job of a request, but for media that are to be fetched: `Named` stands for each of them.

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
            source: bytes | Named
            if address.url.startswith(ATTACHMENT):
                source = _attached(address.url, attachments, place)
            else:
                source = Named(address.url, kind)
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
    named = [source for source in _sources(job) if isinstance(source, Named)]
    if not named:
        return job
    loaded = dict(zip(named, await loader.load_all([(source.url, source.kind) for source in named])))

    def put(value: Any) -> Any:
        if isinstance(value, list):
            return [put(item) for item in value]
        return loaded[value] if isinstance(value, Named) else value

    messages = []
    for message in job.messages:
        parts = [{key: put(value) for key, value in part.items()} for part in message["content"]]
        messages.append({**message, "content": parts})
    return replace(job, messages=tuple(messages))


def _sources(job: EncodingJob) -> list[Any]:
    parts = [part for message in job.messages for part in message["content"] if part["type"] != "text"]
    return [
        source
        for part in parts
        for source in (part["views"] if part["type"] == "views" else [part[part["type"]]])
    ]


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
