"""What a prompt will cost, before a pixel is decoded: visual tokens, memory of the cache, operations.

Tokens come from `geometry`, which the processor calls too, so the forecast equals what the model gets. Costs
are pure functions over grids and plain numbers of a config. Nothing here needs torch.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from oryx.errors import CheckpointError, ConfigError, MediaError
from oryx.json_file import read_json
from oryx.media.image import image_size
from oryx.media.views import list_views
from oryx.processing.geometry import (
    IMAGE,
    REGIONS,
    VIDEO,
    ResizeRule,
    View,
    frame_view,
    image_views,
    nearest,
    num_visual_tokens,
)
from oryx.processing.visuals import FEW_FRAMES, frame_ratios, prompt_note, visual_source, visual_type

DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}

_VISION = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_channels")
_TEXT = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size")

# What `OryxProcessor.to_dict` writes, and what `transformers` may write beside it.
_PROCESSOR = ("resize_rule", "prompt_style", "system_prompt", "image_token")
_OF_TRANSFORMERS = ("processor_class", "auto_map", "tokenizer", "chat_template", "transformers_version")


@dataclass(frozen=True)
class VisionSizes:
    """The tower's numbers."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_channels: int


@dataclass(frozen=True)
class TextSizes:
    """The language model's numbers; its MLP is taken to be gated, as in Qwen2 and Llama."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    vocab_size: int
    num_key_value_heads: int
    head_dim: int


@dataclass(frozen=True)
class ModelSizes:
    """All of a model that its costs depend on."""

    vision: VisionSizes
    text: TextSizes
    compressor_dim: int
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if self.dtype not in DTYPE_BYTES:
            raise ConfigError(f"dtype {self.dtype!r} is unknown; allowed: auto, {', '.join(DTYPE_BYTES)}.")

    @classmethod
    def from_settings(
        cls, vision: Mapping[str, Any], text: Mapping[str, Any], compressor_dim: int, dtype: str
    ) -> "ModelSizes":
        """From the two inner dicts of a native `config.json`.

        Raises:
            KeyError: a setting is not there.
            TypeError: a setting is not a whole number of at least 1.
        """
        numbers = {name: _whole(name, text[name]) for name in _TEXT}
        heads = numbers["num_attention_heads"]
        key_value_heads = _whole("num_key_value_heads", text.get("num_key_value_heads") or heads)
        head_dim = _whole("head_dim", text.get("head_dim") or numbers["hidden_size"] // heads)
        return cls(
            VisionSizes(**{name: _whole(name, vision[name]) for name in _VISION}),
            TextSizes(**numbers, num_key_value_heads=key_value_heads, head_dim=head_dim),
            _whole("compressor_dim", compressor_dim),
            dtype,
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


def processor_settings(folder: Path) -> dict[str, Any]:
    """A native folder's `processor_config.json`. It stands here since `oryx plan` reads it without torch.

    Raises:
        CheckpointError: missing, no JSON object, or an unknown key.
    """
    file = folder / "processor_config.json"
    settings = read_json(file)
    for key in settings:
        if key not in (*_PROCESSOR, *_OF_TRANSFORMERS):
            raise CheckpointError(f"{file} has no setting {key!r}; {nearest(key, _PROCESSOR)}.")
    if not isinstance(settings.get("resize_rule") or {}, dict):
        raise CheckpointError(f"{file}: resize_rule must be an object, not {settings['resize_rule']!r}.")
    return settings


def kv_cache_bytes(num_positions: int, sizes: ModelSizes) -> int:
    """Bytes of keys and values: 2 x layers x key-value heads x head size x bytes of the dtype x positions."""
    text = sizes.text
    values = 2 * text.num_hidden_layers * text.num_key_value_heads * text.head_dim * num_positions
    return values * DTYPE_BYTES[sizes.dtype]


def vision_flops(views: Iterable[View], sizes: ModelSizes) -> int:
    """Operations of tower, compressor and projector; a multiply-add is 2, and only matrix products count.

    With P patches of a view, C values in a patch, D tower width, I its MLP's width, L layers, K compressor
    width, V tokens left, E language-model width:

        tower       2 P C D + L (2 P (3 D^2 + D^2 + 2 D I) + 4 P^2 D)     attention never leaves a view
        compressor  2 V D K + 2 P D K + 2 P K + 2 P D                     nothing at ratio 1
        projector   2 V D E + 2 V E^2
    """
    vision, width, dim = sizes.vision, sizes.text.hidden_size, sizes.compressor_dim
    tower_width, layers = vision.hidden_size, vision.num_hidden_layers
    total = 0
    for view in views:
        patches, tokens = view.num_patches, view.token_grid[0] * view.token_grid[1]
        values = vision.num_channels * (view.height // view.grid[0]) * (view.width // view.grid[1])
        linear = 2 * patches * (4 * tower_width**2 + 2 * tower_width * vision.intermediate_size)
        total += 2 * patches * values * tower_width + layers * (linear + 4 * patches**2 * tower_width)
        if REGIONS[view.compression] != (1, 1):
            total += 2 * tokens * tower_width * dim + 2 * patches * (tower_width * dim + dim + tower_width)
        total += 2 * tokens * (tower_width * width + width**2)
    return total


def lm_prefill_flops(num_positions: int, text: TextSizes) -> int:
    """Operations of the language model's first pass; a multiply-add is 2, and only matrix products count.

    With T positions, E width, I width of the gated MLP, L layers, H heads and G key-value heads of size d:

        L (2 T (2 E H d + 2 E G d + 3 E I) + 4 T^2 H d) + 2 E x vocabulary

    Attention is counted as the full square, its masked half too, as FLOP counters do; the head runs at the
    last position only.
    """
    if not num_positions:
        return 0
    width = text.hidden_size
    queries, keys = text.num_attention_heads * text.head_dim, text.num_key_value_heads * text.head_dim
    linear = 2 * width * queries + 2 * width * keys + 3 * width * text.intermediate_size
    layer = 2 * num_positions * linear + 4 * num_positions**2 * queries
    return text.num_hidden_layers * layer + 2 * width * text.vocab_size


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
    fps = visual.get("fps")
    if kind == "views":
        source = list_views(source)
    elif isinstance(source, np.ndarray) and source.ndim == 4:
        source = list(source)
    if isinstance(source, list | tuple):
        if not source:
            raise MediaError("the list of frames is empty; it needs at least one.")
        times = [index / fps for index in range(len(source))] if fps and kind == "video" else None
        return [_size(frame) for frame in source], times
    from oryx.media.video import open_clip

    max_frames = FEW_FRAMES if visual.get("max_frames") is None else visual["max_frames"]
    clip = open_clip(source, max_frames=max_frames, fps=fps)
    return [(clip.height, clip.width)] * clip.num_frames, clip.times


def _size(frame: Any) -> tuple[int, int]:
    return (frame.shape[0], frame.shape[1]) if isinstance(frame, np.ndarray) else image_size(frame)


def _whole(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise TypeError(f"{name} must be a whole number of at least 1, not {value!r}")
    return value


def _name(source: Any, otherwise: str) -> str:
    return Path(source).name or str(source) if isinstance(source, str | Path) else otherwise
