"""How scene cuts are found cheaply: from keyframes, from packet sizes, or from thumbnails of sampled frames.

    pip download --no-deps --no-binary :all: iscc-samples && tar xf iscc_samples-*.tar.gz
    python benchmarks/scene_cuts.py iscc_samples-*/iscc_samples/files/video

The package holds one minute of film in many containers (its Theora file is left out: libav decodes a quarter
of it). The 17 hard cuts were marked by eye; what comes before frame 200, an animated title and a dissolve, is
left out. A cut counts as found within one frame, or, by thumbnails, between the sampled frames around it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from common import Report, parser

from oryx.data.builders.needle.scene_cuts import find_cuts, thumbnail
from oryx.media.container import open_container
from oryx.media.video import open_clip

CUTS = (243, 365, 395, 485, 552, 706, 741, 864, 923, 959, 1024, 1119, 1162, 1188, 1300, 1369, 1432)
TITLE_END = 200
FRAMES = 224
SUFFIXES = ("mp4", "mkv", "mov", "flv", "3gp", "webm", "mpg", "vob", "avi", "wmv", "asf", "rm")
SPIKE, AROUND = 4.0, 12  # a packet so many times larger than the median of so many on either side


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("folder", type=Path, help="holds demo.mp4, demo.webm, ...")
    options = arguments.parse_args()
    report = Report("scene_cuts")
    for suffix in SUFFIXES:
        path = options.folder / f"demo.{suffix}"
        if path.exists():
            measure(report, path)
    report.finish(options.output)


def measure(report: Report, path: Path) -> None:
    began = time.perf_counter()
    sizes, keyframes = read_packets(path)
    packet_seconds = time.perf_counter() - began
    began = time.perf_counter()
    ranks, cuts, thumbnail_seconds = from_thumbnails(path)
    seconds = time.perf_counter() - began
    for way, found in (("keyframes", keyframes), ("packet sizes", find_spikes(sizes))):
        found = [rank for rank in found if rank > TITLE_END]
        hits = sum(any(abs(rank - cut) <= 1 for rank in found) for cut in CUTS)
        false = sum(all(abs(rank - cut) > 1 for cut in CUTS) for rank in found)
        add(report, path, way, hits, false, len(CUTS), packet_seconds)
    intervals = [(ranks[cut - 1], ranks[cut]) for cut in cuts if ranks[cut - 1] > TITLE_END]
    hits = sum(any(low < cut <= high for low, high in intervals) for cut in CUTS)
    false = sum(not any(low < cut <= high for cut in CUTS) for low, high in intervals)
    add(report, path, f"thumbnails of {FRAMES} frames", hits, false, len(CUTS), thumbnail_seconds)
    report.add(f"{path.name}: decoding those frames", seconds - thumbnail_seconds, "s")


def add(report: Report, path: Path, way: str, hits: int, false: int, total: int, seconds: float) -> None:
    report.add(f"{path.name}: {way}, of {total} cuts", hits, f"found, {false} false, {1000 * seconds:.0f} ms")


def read_packets(path: Path) -> tuple[np.ndarray, list[int]]:
    """Sizes of all packets in the order in which they are shown, and the places of the keyframes."""
    with open_container(path, threads=False) as (container, stream):
        packets = [(p.pts, p.size, p.is_keyframe) for p in container.demux(stream) if p.size]
    if all(pts is not None for pts, _, _ in packets):
        packets.sort(key=lambda packet: packet[0])
    sizes = np.array([size for _, size, _ in packets], float)
    return sizes, [rank for rank, (_, _, is_key) in enumerate(packets) if is_key]


def find_spikes(sizes: np.ndarray) -> list[int]:
    """Places of packets far larger than those around."""
    around = [
        np.median(np.concatenate([sizes[max(0, rank - AROUND) : rank], sizes[rank + 1 : rank + 1 + AROUND]]))
        for rank in range(len(sizes))
    ]
    return np.flatnonzero(sizes > SPIKE * np.array(around)).tolist()


def from_thumbnails(path: Path) -> tuple[Sequence[int], list[int], float]:
    """Ranks of the sampled frames, the places among them at which a scene begins, seconds beside decoding."""
    ranks, thumbnails, seconds = [], [], 0.0
    for frame in open_clip(path, FRAMES).frames:
        began = time.perf_counter()
        thumbnails.append(thumbnail(frame.image))
        seconds += time.perf_counter() - began
        ranks.append(frame.index)
    began = time.perf_counter()
    cuts = find_cuts(np.stack(thumbnails))
    return ranks, cuts, seconds + time.perf_counter() - began


if __name__ == "__main__":
    main()
