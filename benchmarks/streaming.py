"""Streaming encode: memory and time of long videos, and what working ahead in a thread gains.

    python benchmarks/streaming.py

Every figure comes from a process of its own, whose peak memory is what the operating system counted
(`VmHWM`). The first frames are those of the same call on the same video, which is ended after them.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from common import Report, median_ratio, parser
from material import MATERIAL, make_film

FEW = 200
OVERLAP_FRAMES = 80
LARGE_AREA = 192**2  # of frames at which nano's tower takes about as long as their decoding


class EnoughError(Exception):
    """Ends the encoding after the first frames."""


class Serial:
    """In place of the prefetcher: no thread, no queue."""

    def __init__(self, source: Iterator[Any], size_of: Callable[[Any], int], limit: int) -> None:
        self.source = source

    def __enter__(self) -> Iterator[Any]:
        return self.source

    def __exit__(self, *_: object) -> None:
        self.source.close()  # type: ignore[attr-defined]


def child(path: str, model: str, num_frames: int, stop_at: int, mode: str, area: int) -> dict[str, float]:
    """Encode once in this process. Times run from the call, the scan of the file included."""
    import torch

    import oryx
    from oryx.engine import encode as home
    from oryx.evaluation.peak_memory import PeakMemory

    if mode == "serial":
        home.Prefetcher = Serial  # type: ignore[assignment, misc]
    loaded, processor = oryx.load(model, device="cpu")
    if area:
        rule = {**processor.resize_rule, "video_min_area": area, "video_max_area": area}
        processor = oryx.OryxProcessor(processor.tokenizer, resize_rule=rule)
    memory = PeakMemory("cpu")
    loaded_bytes = memory.read()
    began = time.perf_counter()
    marks: list[tuple[int, float]] = []

    def progress(done: int, total: int) -> None:
        marks.append((done, time.perf_counter() - began))
        if done >= stop_at:
            raise EnoughError

    visual = {"type": "video", "video": path, "max_frames": num_frames}
    num_tokens = 0
    try:
        if mode == "decode":
            from oryx.processing.visuals import open_visual

            for done, _ in enumerate(open_visual(visual, processor.rule).views, 1):
                if done >= stop_at:
                    break
            marks.append((done, time.perf_counter() - began))
        else:
            num_tokens = len(oryx.encode(loaded, processor, visual, progress=progress))
    except EnoughError:
        pass
    return {
        "frames": marks[-1][0],
        "seconds": marks[-1][1],
        "loaded_bytes": loaded_bytes,
        "peak_bytes": memory.read(),
        "tokens": num_tokens,
        "threads": torch.get_num_threads(),
    }


def run(
    path: Path, model: str, num_frames: int, stop_at: int, mode: str = "ahead", area: int = 0
) -> dict[str, float]:
    """`child` in a fresh process."""
    arguments = json.dumps([str(path), model, num_frames, stop_at, mode, area])
    done = subprocess.run(
        [sys.executable, __file__, "--child", arguments], check=True, stdout=subprocess.PIPE, text=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--material", type=Path, default=MATERIAL, help="where the videos are kept")
    arguments.add_argument("--minutes", type=float, default=60, help="length of the video")
    arguments.add_argument("--frames", type=int, default=1600, help="frames taken of it")
    arguments.add_argument("--model", default="nano")
    arguments.add_argument("--only", choices=["length", "overlap"], help="one half of the benchmark")
    arguments.add_argument("--child", help="of the benchmark itself")
    options = arguments.parse_args()
    if options.child:
        print(json.dumps(child(*json.loads(options.child))))
        return
    path = make_film(options.material, seconds=round(60 * options.minutes))
    report = Report("streaming")
    if options.only != "overlap":
        measure_length(report, path, options.model, options.frames)
    if options.only != "length":
        measure_overlap(report, path, options.model, options.frames, options.repeats)
    report.finish(options.output)


def measure_length(report: Report, path: Path, model: str, num_frames: int) -> None:
    """All frames against the first of them."""
    few = run(path, model, num_frames, FEW)
    many = run(path, model, num_frames, num_frames + 1)
    mib = 2**20
    report.add("peak memory before the first frame", few["loaded_bytes"] / mib, "MiB")
    report.add(f"peak memory, first {few['frames']} frames", few["peak_bytes"] / mib, "MiB")
    report.add(f"peak memory, {many['frames']} frames", many["peak_bytes"] / mib, "MiB", "at most 1430")
    report.add("peak memory, all to first", many["peak_bytes"] / few["peak_bytes"], "", "at most 1.15")
    per_few, per_many = few["seconds"] / few["frames"], many["seconds"] / many["frames"]
    report.add(f"time per frame, first {few['frames']}", 1000 * per_few, "ms")
    report.add(f"time per frame, {many['frames']}", 1000 * per_many, "ms")
    report.add("time per frame, all to first", per_many / per_few, "", "at most 1.1")
    report.add("visual tokens", many["tokens"], "")


def measure_overlap(report: Report, path: Path, model: str, num_frames: int, repeats: int) -> None:
    """The same frames with and without the thread, in turns; also where tower and decoder weigh the same."""
    for area, size in ((0, "its own size"), (LARGE_AREA, f"{LARGE_AREA**0.5:.0f}^2 pixels")):
        seconds: dict[str, list[float]] = {"ahead": [], "serial": [], "decode": []}
        for _ in range(repeats):
            for mode, taken in seconds.items():
                taken.append(run(path, model, num_frames, OVERLAP_FRAMES, mode, area)["seconds"])
        for mode, name in (("ahead", "with the thread"), ("serial", "without"), ("decode", "decoding alone")):
            figure = f"{OVERLAP_FRAMES} frames of {size}, {name}"
            report.add(figure, statistics.median(seconds[mode]), "s")
        ratio = median_ratio(seconds["ahead"], seconds["serial"])
        report.add("with the thread to without", ratio, "", "at most 1")


if __name__ == "__main__":
    main()
