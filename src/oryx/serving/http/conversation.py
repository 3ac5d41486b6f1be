"""A checked request to the job that the encoding workers take: media fetched, text and visuals in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


async def build_job(checked: Checked, attachments: Mapping[str, bytes], loader: Loader) -> EncodingJob:
    """The job of a request.

    A line break stands behind each visual, as in training and in `oryx ask`, unless the text that follows
    begins with one.

    Raises:
        RequestError: a medium that the loader refuses, an attachment that is not there, or a dial that a part
            does not have.
    """
    body, dials = checked.body, checked.dials
    named: list[tuple[dict[str, Any], str, Kind]] = []
    messages = []
    for index, message in enumerate(body.messages):
        parts: list[dict[str, Any]] = []
        for number, part in enumerate(message.content):
            if isinstance(part, TextPart):
                parts.append({"type": "text", "text": part.text})
                continue
            kind, address = _address(part)
            place = f"messages[{index}].content[{number}]"
            visual = {"type": kind, kind: None, **_part_dials(part, kind, address, place)}
            if address.url.startswith(ATTACHMENT):
                visual[kind] = _attached(address.url, attachments, place)
            else:
                named.append((visual, address.url, kind))
            parts.append(visual)
        messages.append((message, parts))
    loaded = await loader.load_all([(url, kind) for _, url, kind in named]) if named else []
    for (visual, _, kind), source in zip(named, loaded):
        visual[kind] = source
    return EncodingJob(
        messages=tuple(
            {
                "role": "system" if message.role == "developer" else message.role,
                "content": with_line_breaks(_scene(parts, index) if dials.views else parts),
            }
            for index, (message, parts) in enumerate(messages)
        ),
        dials=dials.visual,
        budget=dials.budget,
        prompt_style=dials.prompt_style,
        continue_final_message=bool(body.continue_final_message),
    )


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
