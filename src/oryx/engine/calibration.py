"""Measuring how fast this machine runs one model: what `oryx plan --calibrate` does, once.

No weights are read: time depends on shapes alone. A large model is built with one layer and with two, and the
rest is extrapolated. What is timed are the engine's own functions, from a file to the first word.
"""

from __future__ import annotations

import io
import logging
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import av
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from oryx.config import OryxConfig
from oryx.engine.session import Session
from oryx.model.modeling import OryxForConditionalGeneration
from oryx.processing.budget import Planner
from oryx.processing.forecast import PARTS, forecast_visual
from oryx.processing.geometry import frame_view
from oryx.processing.memory import CHUNK_PATCHES
from oryx.processing.processor import OryxProcessor
from oryx.processing.speed import Speed
from oryx.processing.visuals import encode_visual
from oryx.sizes import model_sizes

logger = logging.getLogger(__name__)

WHOLE = 50_000_000  # parameters up to which a model is built with all of its layers
REPEATS = 3  # the fastest counts: whatever else runs here only makes one slower
UNSTEADY = 1.5  # slowest by fastest run, in the median, of a machine that has other work
RATIO = 4
CLIP_HEIGHT, CLIP_WIDTH, CLIP_RATE, CLIP_FRAMES = 720, 1280, 25, 400
NUM_STEPS = 28  # timed runs, more or less: for the bar


@torch.no_grad()
def measure_speed(
    config: OryxConfig,
    processor: OryxProcessor,
    dtype: torch.dtype,
    device: torch.device,
    report: Callable[[int, int], None] | None = None,
) -> Speed:
    """Seconds of every part: in half a minute for a small model, a minute or more for a large one.

    Args:
        config: of the model.
        processor: of the model, so that sizes and prompts are those that will come.
        dtype, device: to compute in.
        report: called with (steps done, steps in all).
    """
    probe = _Probe(config, processor, dtype, device, report)
    # Beside an accelerator, files are read while it computes; on a CPU both want the same cores.
    overlap = 0.0 if device.type == "cpu" else 1.0
    parts: dict[str, Any] = {"dtype": str(dtype).removeprefix("torch."), "overlap": overlap}
    for measure in (_vision, _prefill, _reading):
        parts |= measure(probe)
    speed = Speed(**parts)
    speed = replace(speed, request=_request(probe, speed))
    spread = statistics.median(probe.spreads)
    if spread > UNSTEADY:
        logger.warning(
            "repeated runs differed by a factor of %.1f: calibrate again when nothing else runs here", spread
        )
    if report:
        report(NUM_STEPS, NUM_STEPS)
    return speed


class _Probe:
    """A model to time: whole if it is small, else with one layer and with two."""

    def __init__(
        self,
        config: OryxConfig,
        processor: OryxProcessor,
        dtype: torch.dtype,
        device: torch.device,
        report: Callable[[int, int], None] | None = None,
    ) -> None:
        config = deepcopy(config)
        config.image_token_id = processor.image_token_id
        self.config, self.processor, self.device = config, processor, device
        self.rule, self.report = processor.rule, report
        self.spreads: list[float] = []
        """Slowest by fastest run of everything timed."""
        self.vision_layers = config.vision_config.num_hidden_layers
        self.text_layers = config.text_config.num_hidden_layers
        layer = sum(weight.numel() for weight in _empty(_with_layers(config, 1), dtype).parameters())
        self.is_whole = layer * max(self.vision_layers, self.text_layers) <= WHOLE
        configs = [config] if self.is_whole else [_with_layers(config, count) for count in (1, 2)]
        self.models = [_filled(each, dtype, device) for each in configs]

    def seconds(self, run: Callable[[OryxForConditionalGeneration], Any], layers: int) -> float:
        """Seconds of `run` with all `layers` of the part that it calls."""
        times = [self.time(lambda model=model: run(model)) for model in self.models]  # type: ignore[misc]
        return times[0] if self.is_whole else times[0] + (layers - 1) * max(0.0, times[1] - times[0])

    def time(self, run: Callable[[], Any]) -> float:
        """Seconds of the fastest of some runs, after one that is not timed."""
        run()
        times = []
        for _ in range(REPEATS):
            began = time.perf_counter()
            run()
            if self.device.type != "cpu":
                torch.accelerator.synchronize(self.device)
            times.append(time.perf_counter() - began)
        self.spreads.append(max(times) / min(times))
        if self.report:
            self.report(min(len(self.spreads), NUM_STEPS - 1), NUM_STEPS)
        return min(times)


def _vision(probe: _Probe) -> dict[str, float]:
    """Tower, compressor and projector: few and many views, small and large ones."""
    rule = probe.rule
    view = frame_view(CLIP_HEIGHT, CLIP_WIDTH, rule, RATIO)
    many = max(2, min(64, CHUNK_PATCHES // view.num_patches))
    rows, seconds = [], []
    for count, scale in ((1, 1), (many // 2, 1), (many, 1), (1, 2), (1, 3)):
        height, width = (side * scale for side in view.grid)
        grids, ratios = torch.tensor([[height, width]] * count), torch.full((count,), RATIO)
        size = (count * height * width, 3 * rule.patch_size**2)
        patches = torch.randint(0, 256, size, dtype=torch.uint8)
        rows.append([1.0, count, size[0], count * float(height * width) ** 2])
        seconds.append(
            probe.seconds(lambda model: model.encode_views(patches, grids, ratios), probe.vision_layers)  # noqa: B023
        )
    return dict(zip(("call", "view", "patch", "patch_pair"), fit_nonnegative(rows, seconds)))


def _prefill(probe: _Probe) -> dict[str, float]:
    """The language model's first pass over prompts of several lengths, up to the first word."""
    context = getattr(probe.config.text_config, "max_position_embeddings", None) or 4096
    rows, seconds = [], []
    for length in sorted({min(context - 1, length) for length in (32, 256, 1024, 2048)}):
        ids = torch.zeros(1, length, dtype=torch.long, device=probe.device)

        def first_word(model: OryxForConditionalGeneration, ids: Tensor = ids) -> None:
            model.generate(input_ids=ids, max_new_tokens=1, do_sample=False, pad_token_id=0)

        rows.append([1.0, length, float(length) ** 2])
        seconds.append(probe.seconds(first_word, probe.text_layers))
    return dict(zip(("prefill", "position", "position_pair"), fit_nonnegative(rows, seconds)))


def _request(probe: _Probe, speed: Speed) -> float:
    """What a smallest request takes beyond its parts; taken as nothing where it cannot be told from them."""
    if not probe.is_whole:
        return 0.0
    visual = {"type": "image", "image": Image.new("RGB", (32, 32))}
    planner = Planner(probe.rule, model_sizes(probe.config, speed.dtype), speed)

    def run(model: OryxForConditionalGeneration) -> None:
        session = Session(model, probe.processor)
        session.add(visual)
        session.ask("What is it?", max_new_tokens=1)

    expected = planner.forecast([visual], text_tokens=20).seconds
    assert expected is not None
    return max(0.0, probe.seconds(run, 1) - expected["total"])


def _reading(probe: _Probe) -> dict[str, float]:
    """Files to patches: pictures, sets of pictures, and clips of which few or many frames are taken."""
    with TemporaryDirectory() as name:
        rows, seconds = [], []
        for visual in _visuals(Path(name)):
            rows.append(forecast_visual(visual, probe.rule).reading.counts())
            seconds.append(probe.time(lambda visual=visual: encode_visual(visual, probe.rule)))  # type: ignore[misc]
    return dict(zip(PARTS, fit_nonnegative(rows, seconds)))


def _visuals(folder: Path) -> Iterator[dict[str, Any]]:
    """Unlike ones, so that each part weighs in some of them."""
    sizes = ((120, 160, 8), (720, 1280, 8), (720, 1280, 1), (2160, 3840, 4), (1080, 1920, 1))
    for height, width, grain in sizes:
        yield {"type": "image", "image": _picture(height, width, grain)}
    for height, width in ((120, 160), (720, 1280)):
        yield {"type": "views", "views": [_picture(height, width, 4)] * 8}
    large, small = folder / "large.mp4", folder / "small.mp4"
    write_clip(large, CLIP_HEIGHT, CLIP_WIDTH)
    write_clip(small, 96, 128)
    for clip, counts in ((large, (1, 2, 8, 16, CLIP_FRAMES)), (small, (4, 16, CLIP_FRAMES))):
        for count in counts:
            yield {"type": "video", "video": str(clip), "max_frames": count, "compression": RATIO}


def fit_nonnegative(rows: Sequence[Sequence[float]], seconds: Sequence[float]) -> list[float]:
    """What each column of `rows` costs, so that relative errors are least and no cost is below 0."""
    features = np.array(rows, dtype=np.float64) / np.array(seconds)[:, None]
    scale = np.abs(features).max(0)
    scale[scale == 0] = 1.0
    kept = list(range(features.shape[1]))
    while True:
        found, *_ = np.linalg.lstsq(features[:, kept] / scale[kept], np.ones(len(seconds)), rcond=None)
        if (found >= 0).all() or len(kept) == 1:
            break
        kept.pop(int(np.argmin(found)))
    costs = np.zeros(features.shape[1])
    costs[kept] = np.maximum(found, 0.0) / scale[kept]
    return costs.tolist()


def write_clip(path: Path, height: int, width: int) -> None:
    """A clip as people have them: H.264, far more frames than keyframes, something that moves."""
    with av.open(str(path), "w") as container:
        codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
        options = {"preset": "veryfast"} if codec == "libx264" else {}
        stream: Any = container.add_stream(codec, rate=CLIP_RATE, options=options)
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        stream.codec_context.gop_size = CLIP_FRAMES // 4
        stream.codec_context.thread_type = "FRAME"  # PyAV's default cuts every frame into slices
        background = np.asarray(_noise(height, 2 * width, 8))
        for number in range(CLIP_FRAMES):
            first = number * width // CLIP_FRAMES
            pixels = np.ascontiguousarray(background[:, first : first + width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))


def _noise(height: int, width: int, grain: int) -> Image.Image:
    """Soft blobs of `grain` pixels: neither flat nor, unless they are that small, hard to compress."""
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 256, (height // grain, width // grain, 3), dtype=np.uint8))
    return small.resize((width, height))


def _picture(height: int, width: int, grain: int) -> bytes:
    file = io.BytesIO()
    _noise(height, width, grain).save(file, "JPEG", quality=90)
    return file.getvalue()


def _with_layers(config: OryxConfig, count: int) -> OryxConfig:
    small = deepcopy(config)
    for part in (small.vision_config, small.text_config):
        part.num_hidden_layers = count
        if getattr(part, "layer_types", None):
            part.layer_types = part.layer_types[:count]
    return small


def _empty(config: OryxConfig, dtype: torch.dtype) -> OryxForConditionalGeneration:
    with torch.device("meta"):
        return OryxForConditionalGeneration._from_config(config, dtype=dtype)


def _filled(config: OryxConfig, dtype: torch.dtype, device: torch.device) -> OryxForConditionalGeneration:
    """Every weight has one value: products take as long as with any other."""
    model = _empty(config, dtype).to_empty(device=device).eval()
    for tensor in (*model.requires_grad_(False).parameters(), *model.buffers()):
        tensor.fill_(0.01)
    return model
