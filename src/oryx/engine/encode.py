"""Visual tokens of one visual, chunk by chunk: memory does not grow with resolution x frames.

One thread decodes, resizes and cuts patches; the caller's runs tower, compressor and projector on what is
ready. Compressed tokens are written where they stay, so there is never a second copy of all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from oryx.engine.prefetch import Prefetcher
from oryx.errors import MediaError
from oryx.model.modeling import OryxForConditionalGeneration
from oryx.processing.geometry import IMAGE, VIDEO, View, num_visual_tokens
from oryx.processing.memory import CHUNK_PATCHES, CHUNK_VIEWS
from oryx.processing.processor import OryxProcessor
from oryx.processing.visuals import EncodedVisual, VisualStream, open_visual

Views = list[tuple[View, np.ndarray]]


@dataclass(frozen=True)
class VisualTokens:
    """Visual tokens of one visual, and what it takes to write a prompt about it without its file."""

    embeds: Tensor
    """(num_tokens, LM width), marks included."""
    kind: int
    """IMAGE or VIDEO (the layout of the tokens)."""
    views: tuple[View, ...]
    times: tuple[float, ...] | None = None
    """Seconds of each frame; None where frames have none."""

    @property
    def num_tokens(self) -> int:
        """Positions in the sequence."""
        return len(self.embeds)

    def stand_in(self, note: str = "") -> EncodedVisual:
        """What the processor takes in place of the visual."""
        return EncodedVisual(self.kind, self.views, None, note)

    def extended(self, more: VisualTokens) -> VisualTokens:
        """The frames of both in one video. All positions but the end mark stay what they were."""
        embeds = torch.cat([self.embeds[:-1], more.embeds[1:]])  # one begin, one end
        times = None if self.times is None or more.times is None else self.times + more.times
        return replace(self, embeds=embeds, views=self.views + more.views, times=times)


def encode(
    model: OryxForConditionalGeneration,
    processor: OryxProcessor,
    visual: Mapping[str, Any] | EncodedVisual,
    chunk_patches: int = CHUNK_PATCHES,
    progress: Callable[[int, int], None] | None = None,
) -> Tensor:
    """Embeddings (num_tokens, LM width) of `visual`, marks included: what `visual_embeds` takes.

    Frames are decoded, resized, encoded and compressed in chunks; only compressed tokens are kept.

    Args:
        visual: `{"type": "image" | "video" | "views", ...}`, as in `encode_conversation`, or encoded already.
        chunk_patches: patches that the tower sees at once, at least one view.
        progress: called with (views done, views in all). What it raises ends the encoding.

    Raises:
        ConfigError, MediaError: a dial or a source that cannot be.
    """
    return encode_tokens(model, processor, visual, chunk_patches, progress).embeds


@torch.no_grad()
def encode_tokens(
    model: OryxForConditionalGeneration,
    processor: OryxProcessor,
    visual: Mapping[str, Any] | EncodedVisual,
    chunk_patches: int = CHUNK_PATCHES,
    progress: Callable[[int, int], None] | None = None,
    check: Callable[[int], None] | None = None,
) -> VisualTokens:
    """`encode`, with the views that the prompt needs.

    Args:
        check: called with the number of tokens to come (a forecast from the first view where frames differ in
            size) before the tower runs; what it raises ends the encoding.
    """
    stream = open_visual(processor.planner.spend([visual])[0], processor.rule)
    views: list[View] = []
    rows = _Rows()
    with Prefetcher(stream.views, lambda item: item[0].num_patches, chunk_patches) as ready:
        for chunk in _chunks(ready, chunk_patches):
            own = [view for view, _ in chunk]
            if not views:
                num_expected = _forecast(stream, own)
                if check:
                    check(num_expected)
                rows.expect(num_expected)
            views += own
            patches = torch.from_numpy(np.concatenate([rows for _, rows in chunk]))
            tokens = model.encode_views(patches, *_as_tensors(own))
            if stream.kind == VIDEO:
                # Every chunk is laid out as a video of its own, between a begin and an end of its own.
                span = _arrange(model, tokens, own, VIDEO)
                rows.write(span[:-1] if len(views) == len(own) else span[1:-1])
            else:  # the views of an image are few, and joined by a separator: laid out at the end
                rows.write(tokens)
            if progress:
                progress(len(views), max(len(views), stream.num_views))
    if not views:
        raise MediaError("the visual holds no view.")
    if stream.kind == VIDEO:
        rows.write(span[-1:])
        embeds = rows.finish()
    else:
        embeds = _arrange(model, rows.finish(), views, stream.kind)
    times = None if stream.times is None else tuple(float(time) for time in stream.times)
    return VisualTokens(embeds, stream.kind, tuple(views), times)


def _as_tensors(views: Sequence[View]) -> tuple[Tensor, Tensor]:
    """Grids (G, 2) and ratios (G,)."""
    return torch.tensor([view.grid for view in views]), torch.tensor([view.compression for view in views])


def _arrange(model: OryxForConditionalGeneration, tokens: Tensor, views: Sequence[View], kind: int) -> Tensor:
    """(V, E) -> (S, E): the tokens of all views as one visual, marks included."""
    visual = (torch.tensor([len(views)]), torch.tensor([kind]))
    embeds, _ = model.arrange_visuals(tokens, *_as_tensors(views), *visual)
    return embeds


def _chunks(ready: Iterable[tuple[View, np.ndarray]], chunk_patches: int) -> Iterator[Views]:
    """Views in stretches of at most `chunk_patches` patches, at least one view each."""
    chunk: Views = []
    num_patches = 0
    for view, patches in ready:
        if chunk and (num_patches + view.num_patches > chunk_patches or len(chunk) == CHUNK_VIEWS):
            yield chunk
            chunk, num_patches = [], 0
        chunk.append((view, patches))
        num_patches += view.num_patches
    if chunk:
        yield chunk


def _forecast(stream: VisualStream, views: Sequence[View]) -> int:
    """Tokens of a stream: exact but for lists of pictures, which are judged by their first ones."""
    if stream.num_tokens is not None:
        return stream.num_tokens
    if stream.kind == IMAGE:
        return num_visual_tokens(IMAGE, views)
    num_tokens = sum(view.num_tokens + 1 for view in views)
    return num_tokens * max(stream.num_views, len(views)) // len(views) + 2


class _Rows:
    """Rows (S, E) that are written once, into room taken for as many as are expected; more may come."""

    def __init__(self) -> None:
        self._room: Tensor | None = None
        self._num_expected = self._num_rows = 0

    def expect(self, num_rows: int) -> None:
        self._num_expected = num_rows

    def write(self, rows: Tensor) -> None:
        stop = self._num_rows + len(rows)
        if self._room is None or stop > len(self._room):
            grown = stop if self._room is None else stop + stop // 2
            room = rows.new_empty(max(grown, self._num_expected), rows.shape[1])
            if self._room is not None:
                room[: self._num_rows] = self._room[: self._num_rows]
            self._room = room
        self._room[self._num_rows : stop] = rows
        self._num_rows = stop

    def finish(self) -> Tensor:
        """(S, E). Room that was left over is given back, unless it is small."""
        assert self._room is not None
        rows = self._room[: self._num_rows]
        return rows if len(rows) > 0.9 * len(self._room) else rows.clone()
