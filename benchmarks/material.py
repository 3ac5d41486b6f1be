"""Videos that benchmarks of the engine read: drawn, encoded once, and kept under `--material`."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

HEIGHT, WIDTH, RATE = 1080, 1920, 24
UNIT_SECONDS = 30
KEYFRAME_EVERY = 48  # frames: 2 s, as streaming services cut
MATERIAL = Path("runs/benchmarks/material")


def long_video(folder: Path = MATERIAL, minutes: float = 60) -> Path:
    """A 1080p H.264 video with B-frames: 30 s are encoded, and their packets muxed again and again."""
    path = folder / f"1080p_{minutes:g}min.mp4"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    unit = folder / "1080p_unit.mp4"
    if not unit.exists():
        _encode_unit(unit)
    draft = path.with_suffix(".part.mp4")
    with av.open(str(draft), "w") as target:
        stream = None
        for repeat in range(max(1, round(minutes * 60 / UNIT_SECONDS))):
            with av.open(str(unit)) as source:
                pictures = source.streams.video[0]
                if stream is None:
                    stream = target.add_stream_from_template(pictures)
                shift = round(repeat * UNIT_SECONDS / pictures.time_base)
                for packet in source.demux(pictures):
                    if packet.dts is None:
                        continue
                    packet.pts += shift
                    packet.dts += shift
                    packet.stream = stream
                    target.mux(packet)
    draft.rename(path)
    return path


def _encode_unit(path: Path) -> None:
    random = np.random.default_rng(0)
    # Film grain over a slope of brightness: real videos are not flat, and cost a decoder accordingly.
    grain = random.integers(0, 24, (HEIGHT + 64, WIDTH + 64, 1), dtype=np.uint8)
    slope = np.linspace(40, 200, WIDTH, dtype=np.uint8)[None, :, None] + np.zeros((HEIGHT, 1, 3), np.uint8)
    with av.open(str(path), "w") as container:
        options = {"preset": "veryfast", "crf": "30", "g": str(KEYFRAME_EVERY), "threads": "2"}
        stream = container.add_stream("libx264", rate=RATE, options=options)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        for number in range(UNIT_SECONDS * RATE):
            y, x = (number // 4) % 64, (number // 2) % 64
            picture = slope + grain[y : y + HEIGHT, x : x + WIDTH]
            for shape in range(5):
                top = (137 * shape + 3 * number) % (HEIGHT - 200)
                left = (331 * shape + 5 * number) % (WIDTH - 300)
                picture[top : top + 200, left : left + 300] = (50 * shape, 255 - 40 * shape, 30 + 20 * shape)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
