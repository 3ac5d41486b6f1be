"""What visuals will cost, from the headers of their files, before a pixel is decoded.

Tokens come from `geometry`, which the processor calls too, so the forecast equals what the model gets.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from oryx.media.focus import AUTO, parse_focus
from oryx.media.parallel import num_workers
from oryx.media.video import Clip
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
from oryx.processing.headers import Header, read_header
from oryx.processing.memory import peak_memory_bytes, picture_bytes, video_bytes
from oryx.processing.pixels import num_resizers
from oryx.processing.speed import Speed
from oryx.processing.visuals import frame_ratios, prompt_note
from oryx.processing.weights import weight_bytes


@dataclass(frozen=True)
class Reading:
    """What one visual takes to read, in numbers that times are proportional to (see `Speed`)."""

    open_file: int = 0
    picture_pixel: int = 0
    picture_byte: int = 0
    view_pixel: int = 0
    frame: int = 0
    frame_pixel: int = 0
    decoded_pixel: int = 0
    sought_pixel: int = 0
    peak_bytes: int = 0
    """The most memory that decoding takes."""

    def counts(self) -> list[int]:
        """How often each of `PARTS` is done."""
        return [getattr(self, part) for part in PARTS]

    def seconds(self, speed: Speed) -> float:
        """On a calibrated machine."""
        return sum(getattr(self, part) * getattr(speed, part) for part in PARTS)


PARTS = tuple(field.name for field in fields(Reading) if field.name != "peak_bytes")


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
    keyframes: bool = False
    """The frames are the nearest keyframes to those that were asked for."""
    reading: Reading = Reading()
    """What has to be read from the files."""

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
            "keyframes": self.keyframes,
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
    speed: Speed | None = None
    """Of this machine with this model; None where it was not calibrated."""

    @property
    def num_visual_tokens(self) -> int:
        return sum(visual.num_tokens for visual in self.visuals)

    @property
    def num_positions(self) -> int:
        """Positions of the prompt as far as they are known."""
        return self.num_visual_tokens if self.prompt_tokens is None else self.prompt_tokens

    @property
    def views(self) -> list[View]:
        return [view for visual in self.visuals for view in visual.views]

    @property
    def peak_memory_bytes(self) -> int:
        """Host memory of the process at its peak, program and weights included."""
        decoding = max((visual.reading.peak_bytes for visual in self.visuals), default=0)
        return peak_memory_bytes(self.views, self.num_visual_tokens, self.num_positions, decoding, self.sizes)

    @property
    def seconds(self) -> dict[str, float] | None:
        """`read`, `vision`, `prefill`, the `rest`, and `total`: until the first word, the model loaded.

        None where the machine was not calibrated.
        """
        if self.speed is None:
            return None
        reading = sum(visual.reading.seconds(self.speed) for visual in self.visuals)
        # Visuals are encoded one after the other.
        vision = sum(self.speed.vision_seconds(visual.views) for visual in self.visuals)
        prefill = self.speed.prefill_seconds(self.num_positions)
        total = self.speed.request + self.speed.encode_seconds(reading, vision) + prefill
        rest = self.speed.request
        return {"read": reading, "vision": vision, "prefill": prefill, "rest": rest, "total": total}

    def to_dict(self) -> dict[str, Any]:
        """What `oryx plan --json` prints."""
        positions, views = self.num_positions, self.views
        plan: dict[str, Any] = {
            "visuals": [visual.to_dict() for visual in self.visuals],
            "total_tokens": self.num_visual_tokens,
            "dtype": self.sizes.dtype,
            "kv_cache_bytes": kv_cache_bytes(positions, self.sizes),
            "vision_flops": vision_flops(views, self.sizes),
            "lm_prefill_flops": lm_prefill_flops(positions, self.sizes.text),
            "weight_bytes": weight_bytes(self.sizes, self.sizes.dtype, self.sizes.quantize),
            "peak_memory_bytes": self.peak_memory_bytes,
        }
        if self.seconds is not None:
            plan["seconds"] = {part: round(amount, 4) for part, amount in self.seconds.items()}
        if self.sizes.context_length is not None:
            plan["context_length"] = self.sizes.context_length
        if self.prompt_tokens is not None:
            plan["prompt_tokens"] = self.prompt_tokens
        return plan


def forecast_visual(
    visual: Mapping[str, Any], rule: ResizeRule, header: Header | None = None
) -> VisualForecast:
    """The views that `encode_visual` will give, from the headers of the files.

    Args:
        visual: a visual dict whose focus, if it has one, the planner has spent (one ratio per frame).
        header: what `read_header` gave for it; None reads it now.

    Raises:
        ConfigError, MediaError: as `encode_visual`, as far as headers show it.
    """
    header = header or read_header(visual)
    size, max_pixels = header.sizes[0], visual.get("max_pixels")
    if header.kind == "image":
        ratio = 1 if visual.get("compression") is None else visual["compression"]
        low_and_native = image_views(*size, rule, ratio, visual.get("detail") or "high", max_pixels)
        views = tuple(low_and_native)
        return VisualForecast(header.kind, header.name, *size, views, reading=_reading(header, None))
    clip, fps = header.choose(visual), visual.get("fps")
    if clip is not None:
        sizes, times = [size] * clip.num_frames, clip.times
    else:
        sizes = list(header.sizes)
        times = [index / fps for index in range(len(sizes))] if fps and header.kind == "video" else None
    ratios = frame_ratios(visual.get("compression"), len(sizes))
    # Frames nearly always share one size: each is worked out once.
    pairs = list(zip(sizes, ratios))
    known = {
        (size, ratio): frame_view(*size, rule, ratio, max_pixels) for size, ratio in dict.fromkeys(pairs)
    }
    note = prompt_note(visual, header.source, times)
    views = tuple(known[pair] for pair in pairs)
    is_key = clip is not None and clip.keyframes
    reading = _reading(header, clip, 2 if parse_focus(visual.get("focus")) == AUTO else 1)
    return VisualForecast(header.kind, header.name, *size, views, note, is_key, reading)


def _reading(header: Header, clip: Clip | None, num_passes: int = 1) -> Reading:
    """Of a video, the decoder starts at the keyframe before each frame, where that saves decoding."""
    if clip is None or clip.info is None:
        taken = clip.num_frames * list(header.sizes) if clip is not None else list(header.sizes)
        peak = max(picture_bytes(*size) for size in taken)
        pixels = sum(height * width for height, width in taken)
        if header.kind == "image":
            return Reading(1, pixels, _num_bytes(header.source), peak_bytes=peak)
        return Reading(len(taken), view_pixel=pixels, peak_bytes=peak)
    timeline, num_decoders = clip.info.timeline, 1
    if timeline is None:
        decoded, num_decoders = clip.indices[-1] + 1, num_workers(clip.num_frames)
    else:
        ranks = clip.indices
        stretches = [(rank, [rank]) for rank in ranks] if clip.keyframes else timeline.stretches(ranks)
        decoded = sum(wanted[-1] + 1 - start for start, wanted in stretches)
        num_decoders = num_workers(len(stretches))
    size, pixels, count = (clip.height, clip.width), clip.height * clip.width, clip.num_frames
    one, several = (0, decoded * pixels) if num_decoders > 1 else (decoded * pixels, 0)
    return Reading(
        open_file=1 if num_decoders == 1 else 1 + num_decoders,
        frame=count * num_passes,
        frame_pixel=count * pixels * num_passes,
        decoded_pixel=one * num_passes,
        sought_pixel=several * num_passes,
        peak_bytes=video_bytes(*size, num_decoders, min(num_resizers(), count)),
    )


def _num_bytes(source: Any) -> int:
    if isinstance(source, bytes):
        return len(source)
    return Path(source).stat().st_size if isinstance(source, str | Path) else 0
