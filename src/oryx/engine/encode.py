"""Visual tokens of one visual, chunk by chunk: memory does not grow with resolution x frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from oryx.errors import MediaError
from oryx.model.modeling import OryxForConditionalGeneration
from oryx.processing.geometry import View
from oryx.processing.processor import OryxProcessor
from oryx.processing.visuals import EncodedVisual, open_visual

# Patches that the tower sees at once: enough to keep the products large, little enough for a laptop.
CHUNK_PATCHES = 8192


@torch.no_grad()
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
        progress: called with (views done, views in all).

    Raises:
        ConfigError, MediaError: a dial or a source that cannot be.
    """
    stream = open_visual(processor.planner.spend([visual])[0], processor.rule)
    tokens: list[Tensor] = []
    views: list[View] = []
    chunk: list[tuple[View, np.ndarray]] = []

    def flush() -> None:
        grids = torch.tensor([view.grid for view, _ in chunk])
        ratios = torch.tensor([view.compression for view, _ in chunk])
        patches = torch.from_numpy(np.concatenate([rows for _, rows in chunk]))
        tokens.append(model.encode_views(patches, grids, ratios))
        views.extend(view for view, _ in chunk)
        chunk.clear()
        if progress:
            progress(len(views), max(len(views), stream.num_views))

    waiting = 0
    for view, patches in stream.views:
        if chunk and waiting + view.num_patches > chunk_patches:
            flush()
            waiting = 0
        chunk.append((view, patches))
        waiting += view.num_patches
    if not chunk and not views:
        raise MediaError("the visual holds no view.")
    flush()
    embeds, _ = model.arrange_visuals(
        torch.cat(tokens),
        torch.tensor([view.grid for view in views]),
        torch.tensor([view.compression for view in views]),
        torch.tensor([len(views)]),
        torch.tensor([stream.kind]),
    )
    return embeds
