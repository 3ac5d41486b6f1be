"""From a video file to packed patches: planning, reading frames, resizing, each against its plain way.

    python benchmarks/media.py [--material DIR] [--repeats 5]

The material (a ten-minute film, and two files of 2 GB) is made on the first run. The plain way to read frames
is to decode all of them, with threads; it runs once. The plain way from a frame to pixels is Pillow's resize
and the image processor of CLIP, which the reference uses. What both ways give is compared.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import av
import numpy as np
from common import Report, median_ratio, parser, time_in_turns
from material import FILM_SECONDS, MATERIAL, RATE, make_film, make_large
from PIL import Image
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from oryx.media.video import open_clip
from oryx.processing.forecast import forecast_visual
from oryx.processing.geometry import ResizeRule
from oryx.processing.pixels import map_ahead, patchify, resize, resize_fast

NUM_FRAMES = 64
BATCH = 16  # frames whose resizing is timed together
SIZES = ((320, 640), (448, 448), (256, 384))  # height, width; the first is the rule's for 1080p
PATCH = 16


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--material", type=Path, default=MATERIAL)
    given = arguments.parse_args()
    report = Report("media")
    add_planning(report, given.material, given.repeats)
    frames = add_reading(report, make_film(given.material))
    for height, width in SIZES:
        add_resizing(report, frames, height, width, given.repeats)
    report.finish(given.output)


def add_planning(report: Report, folder: Path, repeats: int) -> None:
    """Milliseconds of a plan from the header of a file of 2 GB."""
    for suffix in (".mp4", ".mkv"):
        path = make_large(folder, suffix)
        plans: dict[str, Callable[[], Any]] = {
            name: lambda path=path, dials=dials: forecast_visual({"video": path, **dials}, ResizeRule())
            for name, dials in (("", {}), (", keyframes", {"keyframes": True}))
        }
        for name, seconds in time_in_turns(plans, repeats).items():
            figure = f"plan of a 2 GB {suffix[1:].upper()}{name}"
            report.add(figure, 1000 * statistics.median(seconds), "ms", "under 50")


def add_reading(report: Report, film: Path) -> list[Image.Image]:
    """Seconds for 64 frames out of ten minutes; returns the frames."""
    exact, keys = open_clip(film, NUM_FRAMES), open_clip(film, NUM_FRAMES, keyframes=True)
    wanted = {*exact.indices, *keys.indices}
    began = time.perf_counter()
    plain: dict[int, Image.Image] = {}
    with av.open(str(film)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for index, frame in enumerate(container.decode(stream)):
            if index in wanted:
                plain[index] = Image.fromarray(frame.to_ndarray(format="rgb24"))
    full = time.perf_counter() - began
    report.add(f"decode all {FILM_SECONDS * RATE:,} frames, 1080p H.264", full, "s", "the plain way")
    for name, clip, target in (("exact", exact, "at least 2"), ("keyframes", keys, "at least 10")):
        began = time.perf_counter()
        with closing(clip.frames) as frames:
            read = {frame.index: frame.image for frame in frames}
        seconds = time.perf_counter() - began
        for index, image in read.items():
            assert np.array_equal(np.asarray(image), np.asarray(plain[index])), f"frame {index} differs"
        report.add(f"{len(read)} frames, {name}", seconds, "s")
        report.add(f"{name}, against decoding all", full / seconds, "times", target)
    return [plain[index] for index in exact.indices[:BATCH]]


def add_resizing(report: Report, frames: list[Image.Image], height: int, width: int, repeats: int) -> None:
    """Milliseconds a frame from a 1080p picture to pixels of the model."""
    processor = CLIPImageProcessorPil(
        do_resize=False, do_center_crop=False, image_mean=[0.5] * 3, image_std=[0.5] * 3
    )
    small = [frame.resize((width, height)) for frame in frames]

    def cut(frame: Image.Image, scale: Any) -> np.ndarray:
        return patchify(scale(frame, height, width), PATCH)

    def ahead(scale: Any) -> list[np.ndarray]:
        return list(map_ahead(lambda _, frame: cut(frame, scale), iter(frames), len(frames)))

    cases: dict[str, Callable[[], Any]] = {
        "the reference's way": lambda: [
            processor.preprocess(frame.resize((width, height)), return_tensors="pt") for frame in frames
        ],
        "Pillow's resize alone": lambda: [frame.resize((width, height)) for frame in frames],
        "patchify alone": lambda: [patchify(image, PATCH) for image in small],
        "exact, one thread": lambda: [cut(frame, resize) for frame in frames],
        "exact": lambda: ahead(resize),
        "fast, one thread": lambda: [cut(frame, resize_fast) for frame in frames],
        "fast": lambda: ahead(resize_fast),
    }
    seconds = time_in_turns(cases, repeats)
    name = f"1080p to {height}x{width}"
    for case, values in seconds.items():
        report.add(f"{name}: {case}", 1000 * statistics.median(values) / len(frames), "ms a frame")
    for case, target in (("exact", "at least 8"), ("fast", "")):
        ratio = median_ratio(seconds["the reference's way"], seconds[case])
        report.add(f"{name}: {case}, against the reference's way", ratio, "times", target)
    exact, fast = ahead(resize), ahead(resize_fast)
    for rows, image in zip(exact, small, strict=True):
        assert np.array_equal(rows, patchify(image, PATCH)), "pixels differ from Pillow's"
    apart = max(int(np.abs(a.astype(int) - b).max()) for a, b in zip(exact, fast, strict=True))
    report.add(f"{name}: fast, most levels from Pillow's", apart, "levels", "at most 1")


if __name__ == "__main__":
    main()
