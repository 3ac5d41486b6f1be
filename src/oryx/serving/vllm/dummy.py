"""What vLLM measures its memory with before it shares out the rest among keys and values."""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt
from typing import Any

import numpy as np
from vllm.multimodal.processing import BaseDummyInputsBuilder

from oryx.processing import chat
from oryx.processing.geometry import REGIONS, VIDEO, ResizeRule, View, frame_view
from oryx.processing.visuals import EncodedVisual
from oryx.serving.vllm.items import MODALITIES, Visual
from oryx.serving.vllm.processing import OryxProcessingInfo

_HIGHEST = max(REGIONS)


class OryxDummyInputs(BaseDummyInputsBuilder[OryxProcessingInfo]):
    """The visual that takes the most memory: see `largest_visual`."""

    def get_dummy_text(self, mm_counts: Mapping[str, int]) -> str:
        return chat.IMAGE_MARKER * mm_counts.get("image", 0) + chat.VIDEO_MARKER * mm_counts.get("video", 0)

    def get_dummy_mm_data(
        self, seq_len: int, mm_counts: Mapping[str, int], mm_options: Mapping[str, Any]
    ) -> dict[str, list[Visual]]:
        share = seq_len // max(1, sum(mm_counts.get(name, 0) for name in MODALITIES))
        dummy = largest_visual(share, self.info.processor.rule)
        return {name: [dummy] * mm_counts.get(name, 0) for name in MODALITIES}


def largest_visual(num_positions: int, rule: ResizeRule) -> EncodedVisual:
    """A visual of at most so many positions, and less than a row of tokens under it.

    One view is as large as a picture can be, and compressed as much as possible: views are never split, so it
    is what the tower and the compressor have the most work with at once. Frames at 1x fill the rest: as many
    tokens, and as full chunks of patches, as there can be.
    """
    side = rule.patch_size
    rows, columns = REGIONS[_HIGHEST]
    most = max(rule.native_area, rule.video_max_area) // side**2
    # n (n + 1) tokens of an n x n view with its newlines, and three marks.
    tokens = max(1, min(isqrt(most // (rows * columns)), isqrt(num_positions) - 1))
    views = [_view(tokens * rows, tokens * columns, side, _HIGHEST)]
    left = num_positions - 2 - (views[0].num_tokens + 1)

    frame = frame_view(1024, 1024, rule, 1)
    num_frames, left = divmod(max(0, left), frame.num_tokens + 1)
    views += [frame] * num_frames
    _, width = frame.grid
    num_rows = max(0, left - 1) // (width + 1)
    if num_rows:
        views.append(_view(num_rows, width, side, 1))
    patches = np.zeros((sum(view.num_patches for view in views), 3 * side**2), dtype=np.uint8)
    return EncodedVisual(VIDEO, tuple(views), patches)


def _view(height: int, width: int, side: int, ratio: int) -> View:
    """Of so many patches."""
    return View(height * side, width * side, (height, width), ratio)
