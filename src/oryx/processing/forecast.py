"""What visuals will cost, from the headers of their files, before a pixel is decoded.

Tokens come from `geometry`, which the processor calls too, so the forecast equals what the model gets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from oryx.errors import ConfigError, MediaError
from oryx.media.image import image_size
from oryx.media.views import list_views
from oryx.processing.costs import ModelSizes, kv_cache_bytes, lm_prefill_flops, vision_flops
from oryx.processing.geometry import (
    IMAGE,
    VIDEO,
    ResizeRule,
    View,
    frame_view,
    image_views,
    num_visual_tokens,
)
from oryx.processing.visuals import (
    FEW_FRAMES,
    check_switch,
    frame_ratios,
    prompt_note,
    visual_source,
    visual_type,
)


@dataclass(frozen=True)
class VisualForecast:
    """One visual before it is decoded."""

    kind: str
    """"image", "video" or "views"."""
    name: str
    """The file or folder, for people."""
    height: int
    """Pixels of the source (of its first frame or view), upright."""
    width: int
    views: tuple[View, ...]
    note: str = ""
    """Lines for the prompt: frame times, subtitles."""

    @property
    def layout(self) -> int:
        """Code of the token layout: IMAGE or VIDEO."""
        return IMAGE if self.kind == "image" else VIDEO

    @property
    def num_tokens(self) -> int:
        """Positions the visual will take in the sequence."""
        return num_visual_tokens(self.layout, self.views)

    @property
    def num_frames(self) -> int:
        """Frames or views of a scene; 1 for an image, whatever its number of views."""
        return 1 if self.layout == IMAGE else len(self.views)

    @property
    def grids(self) -> list[tuple[int, int]]:
        """(h, w) in patches: of each view of an image, or of each size that frames have."""
        grids = [view.grid for view in self.views]
        return grids if self.layout == IMAGE else list(dict.fromkeys(grids))

    @property
    def compression(self) -> int | list[int]:
        """The ratio, or one per frame where they differ."""
        ratios = [view.compression for view in self.views]
        return ratios[0] if len(set(ratios)) == 1 else ratios

    def to_dict(self) -> dict[str, Any]:
        """The visual's part of `oryx plan --json`."""
        return {
            "source": self.name,
            "kind": self.kind,
            "height": self.height,
            "width": self.width,
            "frames": self.num_frames,
            "grids": [list(grid) for grid in self.grids],
            "compression": self.compression,
            "tokens": self.num_tokens,
        }


@dataclass(frozen=True)
class Forecast:
    """What one prompt costs. Without `prompt_tokens` the visual tokens alone are counted."""

    visuals: tuple[VisualForecast, ...]
    sizes: ModelSizes
    prompt_tokens: int | None = None
    """Positions of the whole prompt, text and chat marks included."""

    @property
    def num_visual_tokens(self) -> int:
        return sum(visual.num_tokens for visual in self.visuals)

    def to_dict(self) -> dict[str, Any]:
        """What `oryx plan --json` prints."""
        positions = self.num_visual_tokens if self.prompt_tokens is None else self.prompt_tokens
        views = [view for visual in self.visuals for view in visual.views]
        plan: dict[str, Any] = {
            "visuals": [visual.to_dict() for visual in self.visuals],
            "total_tokens": self.num_visual_tokens,
            "dtype": self.sizes.dtype,
            "kv_cache_bytes": kv_cache_bytes(positions, self.sizes),
            "vision_flops": vision_flops(views, self.sizes),
            "lm_prefill_flops": lm_prefill_flops(positions, self.sizes.text),
        }
        if self.prompt_tokens is not None:
            plan["prompt_tokens"] = self.prompt_tokens
        return plan


def forecast_visual(visual: Mapping[str, Any], rule: ResizeRule) -> VisualForecast:
    """The views that `encode_visual` will give, from the headers of the files.

    Raises:
        ConfigError, MediaError: as `encode_visual`, as far as headers show it.
    """
    kind = visual_type(visual)
    source = visual_source(visual, kind)
    max_pixels = visual.get("max_pixels")
    if kind == "image":
        height, width = image_size(source)
        ratio = 1 if visual.get("compression") is None else visual["compression"]
        views = image_views(height, width, rule, ratio, visual.get("detail") or "high", max_pixels)
        return VisualForecast(kind, _name(source, "image"), height, width, tuple(views))
    sizes, times = _frame_sizes(kind, source, visual)
    ratios = frame_ratios(visual.get("compression"), len(sizes))
    # Frames nearly always share one size: each is worked out once.
    pairs = list(zip(sizes, ratios))
    known = {
        (size, ratio): frame_view(*size, rule, ratio, max_pixels) for size, ratio in dict.fromkeys(pairs)
    }
    views = [known[pair] for pair in pairs]
    name = _name(source, f"{len(views)} {'views' if kind == 'views' else 'frames'}")
    return VisualForecast(kind, name, *sizes[0], tuple(views), prompt_note(visual, source, times))


def _frame_sizes(
    kind: str, source: Any, visual: Mapping[str, Any]
) -> tuple[list[tuple[int, int]], Sequence[float] | None]:
    """(height, width) of every frame that will be taken, and their times in seconds if they have any."""
    fps, keyframes = visual.get("fps"), check_switch(visual, "keyframes")
    if kind == "views":
        source = list_views(source)
    elif isinstance(source, np.ndarray) and source.ndim == 4:
        source = list(source)
    if isinstance(source, list | tuple):
        if not source:
            raise MediaError("the list of frames is empty; it needs at least one.")
        if keyframes:
            raise ConfigError("keyframes need a video file: a list of pictures has none.")
        times = [index / fps for index in range(len(source))] if fps and kind == "video" else None
        return [_size(frame) for frame in source], times
    from oryx.media.video import open_clip

    max_frames = FEW_FRAMES if visual.get("max_frames") is None else visual["max_frames"]
    clip = open_clip(source, max_frames=max_frames, fps=fps, keyframes=keyframes)
    return [(clip.height, clip.width)] * clip.num_frames, clip.times


def _size(frame: Any) -> tuple[int, int]:
    return (frame.shape[0], frame.shape[1]) if isinstance(frame, np.ndarray) else image_size(frame)


def _name(source: Any, otherwise: str) -> str:
    return Path(source).name or str(source) if isinstance(source, str | Path) else otherwise
