"""Video files that benchmarks read, made once and kept: a long film, and files of a given size.

A short unit is encoded; its packets are then written again and again with later times, so that ten minutes
cost no more to make than twenty seconds. The unit begins with a keyframe and no frame refers to one outside
it, so it repeats cleanly.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from common import RESULTS

MATERIAL = RESULTS / "material"
RATE, GOP = 25, 250
HEIGHT, WIDTH = 1080, 1920
UNIT_FRAMES = 2 * GOP
FILM_SECONDS = 600
LARGE_BYTES = 2 * 10**9


def make_film(folder: Path, suffix: str = ".mp4", seconds: int = FILM_SECONDS) -> Path:
    """H.264, 1080p, 25 frames per second, a keyframe every 250 frames, 3 B-frames in a row."""
    path = folder / f"film_{seconds}s{suffix}"
    if not path.exists():
        _repeat(make_unit(folder), path, seconds * RATE // UNIT_FRAMES)
    return path


def make_large(folder: Path, suffix: str = ".mp4", size: int = LARGE_BYTES) -> Path:
    """The film again, until the file has `size` bytes."""
    path = folder / f"large{suffix}"
    if not path.exists():
        unit = make_unit(folder)
        _repeat(unit, path, -(-size // unit.stat().st_size))
    return path


def make_unit(folder: Path) -> Path:
    """Twenty seconds to repeat: a camera that moves over a textured ground, objects on it, a little noise."""
    path = folder / "unit.mp4"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    partial = path.with_name("unit.partial.mp4")
    options = {"crf": "23", "preset": "veryfast", "g": str(GOP), "keyint_min": str(GOP), "bf": "3"}
    options |= {"sc_threshold": "0", "b-pyramid": "normal", "x264-params": "open-gop=0:b-adapt=0:ref=3"}
    with av.open(str(partial), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options=options)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        stream.codec_context.thread_type = "FRAME"  # PyAV's default cuts every frame into slices
        for pixels in _scene(UNIT_FRAMES):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    partial.rename(path)
    return path


def _scene(num_frames: int):
    """(height, width, 3) uint8 frames."""
    rng = np.random.default_rng(0)
    ground = _texture(rng, HEIGHT + 400, WIDTH + 800)
    objects = [_texture(rng, side, side * 3 // 2) for side in (120, 200, 320)]
    grain = [rng.normal(0, 2.0, (HEIGHT, WIDTH, 1)).astype(np.int16) for _ in range(8)]
    for index in range(num_frames):
        phase = 2 * np.pi * index / num_frames  # the last frame leads over to the first
        top, left = int(200 + 200 * np.sin(phase)), int(400 + 400 * np.cos(phase))
        frame = ground[top : top + HEIGHT, left : left + WIDTH].astype(np.int16)
        for place, thing in enumerate(objects):
            y = int((HEIGHT - 400) * (0.5 + 0.5 * np.sin((place + 2) * phase + place)))
            x = int((WIDTH - 500) * (0.5 + 0.5 * np.cos((place + 1) * phase)))
            frame[y : y + thing.shape[0], x : x + thing.shape[1]] = thing
        frame += grain[index % len(grain)]
        yield frame.clip(0, 255).astype(np.uint8)


def _texture(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Noise whose strength falls with its frequency, as in photographs: (height, width, 3) uint8."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    channels = []
    for _ in range(3):
        spectrum = np.fft.rfft2(rng.normal(size=(height, width))) / np.maximum(frequency, 1 / width) ** 1.3
        values = np.fft.irfft2(spectrum, s=(height, width))
        channels.append((values - values.mean()) / values.std() * 45 + 128)
    return np.stack(channels, axis=-1).clip(0, 255).astype(np.uint8)


def _repeat(unit: Path, path: Path, times: int) -> None:
    partial = path.with_name(f"{path.stem}.partial{path.suffix}")
    with av.open(str(unit)) as given, av.open(str(partial), "w") as container:
        source = given.streams.video[0]
        packets = [packet for packet in given.demux(source) if packet.size]
        stream = container.add_stream_from_template(source)
        base = source.time_base
        length = round(UNIT_FRAMES / Fraction(RATE) / base)
        parts = [(bytes(packet), packet.pts, packet.dts, packet.is_keyframe) for packet in packets]
        for turn in range(times):
            for data, pts, dts, is_keyframe in parts:
                packet = av.Packet(data)
                packet.pts, packet.dts, packet.time_base = pts + turn * length, dts + turn * length, base
                packet.is_keyframe, packet.stream = is_keyframe, stream
                container.mux(packet)
    partial.rename(path)
