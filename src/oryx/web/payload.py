"""A question as a chat request of OpenAI's interface."""

from __future__ import annotations

import base64
from mimetypes import guess_type
from pathlib import Path
from typing import Any

from oryx.processing.markers import IMAGE_MARKER
from oryx.web.planning import Limits, find_visuals, turns_of
from oryx.web.replies import Request


def make_payload(request: Request, model_name: str, limits: Limits) -> dict[str, Any]:
    """The chat request, media as data URLs in front of the first question, dials in `mm_processor_kwargs`.

    Raises:
        MediaError: a medium that cannot be read.
        AlignmentError: `<image>` is written more or less often than there are media.
    """
    media, settings = request.media, request.settings
    visuals = find_visuals(media, limits)
    dials = settings.request_dials
    if any(visual["type"] == "views" for visual in visuals):
        dials["views"] = True
    parts = []
    for visual in visuals:
        kind = "video" if visual["type"] == "video" else "image"
        for path in visual["views"] if visual["type"] == "views" else [visual[kind]]:
            parts.append({"type": f"{kind}_url", f"{kind}_url": {"url": data_url(path, kind)}})
    turns_of(request.earlier, request.question, len(visuals))  # refuses `<image>` in the wrong number
    messages: list[dict[str, Any]] = []
    for asked, said in request.earlier:
        messages += [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]
    messages.append({"role": "user", "content": request.question})
    messages[0]["content"] = _with_media(messages[0]["content"], parts)
    payload: dict[str, Any] = {
        "model": model_name,
        "messages": messages,
        "max_tokens": settings.max_new_tokens,
        "temperature": settings.temperature,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    return payload | ({"mm_processor_kwargs": dials} if dials else {})


def data_url(path: str, kind: str) -> str:
    """A file in a URL, typed by its name."""
    guessed = guess_type(path)[0] or ""
    mime = (
        guessed if guessed.startswith(("image/", "video/")) else {"image": "image/png"}.get(kind, "video/mp4")
    )
    return f"data:{mime};base64,{base64.b64encode(Path(path).read_bytes()).decode()}"


def _with_media(question: str, parts: list[dict[str, Any]]) -> Any:
    """Media in front of a question, or where `<image>` says that each stands."""
    if not parts:
        return question
    stretches = question.split(IMAGE_MARKER)
    if len(stretches) == 1 or len(stretches) != len(parts) + 1:
        return [*parts, {"type": "text", "text": question}]
    content: list[dict[str, Any]] = []
    for index, stretch in enumerate(stretches):
        if stretch:
            content.append({"type": "text", "text": stretch})
        if index < len(parts):
            content.append(parts[index])
    return content
