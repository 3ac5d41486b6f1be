"""What of a job can be judged before any of its media is opened."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from oryx.processing.markers import TEXT_TYPES
from oryx.serving.encoding import EncodingJob, EncodingLimits
from oryx.serving.errors import RequestError

SOURCE_KEYS = (
    *("image", "video", "views", "url", "path", "base64"),
    *("image_url", "input_image", "video_url"),
)
"""Keys of a visual that may name its source."""


def check_job(job: EncodingJob, limits: EncodingLimits) -> None:
    """Refuse what no worker need see.

    Raises:
        RequestError: messages of another form, a source or subtitles that would have the worker open
            something that the server did not, or more media or bytes than are allowed.
    """
    _check_subtitles(job.dials)
    num_visuals = num_bytes = 0
    for visual in visuals_of(job):
        num_visuals += 1
        _check_subtitles(visual)
        sources = list(sources_of(visual))
        for source in sources:
            if not isinstance(source, bytes | Path):
                raise _refusal("the source of a visual must be a data: URL, an address or a path.")
            num_bytes += len(source) if isinstance(source, bytes) else 0
        if len(sources) > limits.max_frames:
            raise too_large(f"{len(sources):,} pictures in one visual", limits.max_frames)
    if num_visuals > limits.max_visuals:
        raise too_large(f"{num_visuals:,} media", limits.max_visuals)
    if num_bytes > limits.max_total_bytes:
        raise too_large(f"{num_bytes:,} bytes of media", limits.max_total_bytes)


def visuals_of(job: EncodingJob) -> Iterator[Mapping[str, Any]]:
    """The visual parts of a job's messages, in order.

    Raises:
        RequestError: a message that is no object, or whose content is neither text nor a list of parts.
    """
    for message in job.messages:
        content = message.get("content") if isinstance(message, Mapping) else 0
        if content is None or isinstance(content, str):
            continue
        if not isinstance(content, list | tuple):
            raise _refusal("a message must have a role and a content, which is text or a list of parts.")
        for part in content:
            if isinstance(part, Mapping) and part.get("type") not in TEXT_TYPES:
                yield part


def sources_of(visual: Mapping[str, Any]) -> Iterator[Any]:
    """Everything that a visual names as its source; of a list, every item."""
    for key in SOURCE_KEYS:
        source = visual.get(key)
        if isinstance(source, Mapping):  # OpenAI's {"image_url": {"url": ...}}
            source = source.get("url")
        if isinstance(source, list | tuple):
            yield from source
        elif source is not None:
            yield source


def too_large(what: str, most: int | float) -> RequestError:
    """The refusal of more than a limit allows."""
    return RequestError(
        f"the request has {what}; at most {most:,} are allowed.",
        status=413,
        code="media_too_large",
        param="messages",
    )


def _check_subtitles(dials: Mapping[str, Any]) -> None:
    subtitles = dials.get("subtitles")
    is_text = isinstance(subtitles, list | tuple) and all(isinstance(line, str) for line in subtitles)
    if not (subtitles is None or isinstance(subtitles, bool | Path) or is_text):
        raise _refusal("subtitles must be true, for the file beside the video, or a list of lines.")


def _refusal(message: str) -> RequestError:
    return RequestError(message, code="invalid_media", param="messages")
