"""Tiny pictures and videos whose content tells which frame it is."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

HEIGHT, WIDTH = 48, 64


def draw_number(number: int) -> Image.Image:
    """`number` (below 256) as eight grey stripes, high bit on the left, under noise that changes with it."""
    bits = np.array([(number >> (7 - bit)) & 1 for bit in range(8)], dtype=np.uint8)
    stripes = np.repeat(bits, WIDTH // 8) * 160
    noise = np.random.default_rng(number).integers(0, 40, (HEIGHT, WIDTH))
    grey = (stripes[None, :] + 20 + noise).astype(np.uint8)
    return Image.fromarray(np.repeat(grey[..., None], 3, axis=2))


@pytest.fixture
def numbered() -> Callable[[int], Image.Image]:
    """number -> its picture, 48 high and 64 wide."""
    return draw_number


@pytest.fixture
def read_number() -> Callable[[Image.Image], int]:
    """A picture of a number -> the number, also after lossy coding."""

    def read(image: Image.Image) -> int:
        grey = np.asarray(image.convert("L"), dtype=float)
        stripes = grey.reshape(grey.shape[0], 8, -1).mean(axis=(0, 2))
        return sum(1 << (7 - bit) for bit in range(8) if stripes[bit] > 110)

    return read


@pytest.fixture
def make_video(tmp_path: Path) -> Callable[..., Path]:
    """(name, settings) -> path of a video of the frames 0, 1, 2, ... (by default H.264 with B-frames)."""

    def make(
        name: str = "clip.mp4",
        num_frames: int = 40,
        rate: int = 10,
        codec: str = "libx264",
        options: dict[str, str] | None = None,
        times_ms: list[int] | None = None,
        rotation: int | None = None,
        movflags: str = "",
    ) -> Path:
        path = tmp_path / name
        if options is None:
            options = {"g": "12", "bf": "3", "b-pyramid": "normal"} if codec == "libx264" else {"g": "12"}
        tick = Fraction(1, rate) if times_ms is None else Fraction(1, 1000)
        with av.open(str(path), "w", options={"movflags": movflags} if movflags else {}) as container:
            stream = container.add_stream(codec, rate=rate, options=options)
            stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
            stream.codec_context.time_base = tick
            if rotation is not None:
                stream.set_display_rotation(rotation)
            container.start_encoding()
            for number in range(num_frames):
                frame = av.VideoFrame.from_image(draw_number(number))
                frame.pts, frame.time_base = number if times_ms is None else times_ms[number], tick
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path

    return make


@pytest.fixture
def make_animation(tmp_path: Path) -> Callable[..., Path]:
    """(name, settings) -> path of an animated GIF, WebP, PNG or AVIF of the frames 0, 1, 2, ..."""

    def make(name: str, num_frames: int = 6, duration: int | list[int] = 100) -> Path:
        first, *others = [draw_number(number) for number in range(num_frames)]
        lossless = {"lossless": True} if name.endswith(".webp") else {}
        first.save(
            tmp_path / name,
            save_all=bool(others),
            append_images=others,
            duration=duration,
            loop=0,
            **lossless,
        )
        return tmp_path / name

    return make
