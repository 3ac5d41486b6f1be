"""A checked request to the job that the encoding workers take: media fetched, text and visuals in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from oryx.serving.encoding import EncodingJob
from oryx.serving.errors import RequestError
from oryx.serving.http.chat_request import Address, Checked, ImagePart, TextPart, VideoPart
from oryx.serving.http.dials import read_part_dials
from oryx.serving.http.reading import ATTACHMENT

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
                "content": _with_line_breaks(_as_scene(parts, index) if dials.views else parts),
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


def _as_scene(parts: list[dict[str, Any]], index: int) -> list[dict[str, Any]]:
    """All pictures as views of one scene, where the first of them stands."""
    pictures = [part for part in parts if part["type"] == "image"]
    if not pictures:
        return parts
    dials: dict[str, Any] = {}
    place = f"messages[{index}]"
    for picture in pictures:
        for name, value in picture.items():
            if name in ("type", "image"):
                continue
            if name == "detail":
                raise RequestError(
                    "views have no detail; compression and max_pixels are their dials.", param=place
                )
            if dials.setdefault(name, value) != value:
                raise RequestError(f"views share their dials, but {name} differs among them.", param=place)
    scene = {"type": "views", "views": [picture["image"] for picture in pictures], **dials}
    first = next(index for index, part in enumerate(parts) if part is pictures[0])
    rest = [part for part in parts[first:] if part["type"] != "image"]
    return [*parts[:first], scene, *rest]


def _with_line_breaks(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    for part, following in zip(parts, [*parts[1:], None]):
        out.append(part)
        if part["type"] == "text" or (following and following.get("text", "").startswith("\n")):
            continue
        if following is None:
            continue
        out.append({"type": "text", "text": "\n"})
    return out
