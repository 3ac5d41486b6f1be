"""Frames put into a video that is encoded already: they are encoded alone, the others not again.

The tower never looks across frames, so the result is that of encoding the whole.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image

from oryx.engine.encode import VisualTokens, encode_tokens
from oryx.errors import ConfigError, MediaError
from oryx.processing.geometry import View

if TYPE_CHECKING:
    from oryx.model.modeling import OryxForConditionalGeneration
    from oryx.processing.processor import OryxProcessor

CHUNK_FRAMES = 64
"""Frames held as pictures at once."""


def encode_frames(
    model: OryxForConditionalGeneration,
    processor: OryxProcessor,
    frames: Iterable[Image.Image],
    compression: int,
    dials: Mapping[str, Any] | None = None,
    progress: Callable[[int], None] | None = None,
) -> VisualTokens:
    """Visual tokens of a video whose frames come one at a time; only a few are held as pictures.

    Args:
        frames: RGB pictures, as many as they may be.
        compression: ratio of every frame.
        dials: further dials of a video, such as `max_pixels`.
        progress: called with the number of frames that are encoded.

    Raises:
        MediaError: there is no frame.
        ConfigError: a dial that cannot be.
    """
    whole: list[VisualTokens] = []
    rest, done = iter(frames), 0
    while chunk := list(itertools.islice(rest, CHUNK_FRAMES)):
        visual = {"type": "video", "video": chunk, "compression": compression, **(dials or {})}
        whole.append(encode_tokens(model, processor, visual))
        done += len(chunk)
        if progress:
            progress(done)
    if not whole:
        raise MediaError("the video holds no frame.")
    first, last = whole[0].embeds, whole[-1].embeds
    inner = [part.embeds[1:-1] for part in whole]  # each has a begin and an end of its own
    embeds = torch.cat([first[:1], *inner, last[-1:]])
    return replace(whole[0], embeds=embeds, views=tuple(view for part in whole for view in part.views))


def frame_offset(views: Iterable[View], index: int) -> int:
    """Position, within a video's span, of the first token of frame `index`."""
    return 1 + sum(view.num_tokens + 1 for view in itertools.islice(views, index))


def splice(video: VisualTokens, more: VisualTokens, index: int) -> VisualTokens:
    """The video with the frames of `more` before its frame `index`.

    Raises:
        ConfigError: the video has no such place.
    """
    if not 0 <= index <= len(video.views):
        raise ConfigError(f"there is no place {index} in a video of {len(video.views)} frames.")
    at = frame_offset(video.views, index)
    embeds = torch.cat([video.embeds[:at], more.embeds[1:-1], video.embeds[at:]])
    views = (*video.views[:index], *more.views, *video.views[index:])
    return replace(video, embeds=embeds, views=views, times=None)
