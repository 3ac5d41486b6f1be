"""What tests of several parts share: small videos, and a store of pictures."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageDraw

from oryx.data.pictures.store import Picture, mean_ink, write_store

THINGS = ("cat", "dog", "apple", "grapes", "bread", "palm tree", "clock", "unicorn")
STYLES = (("fluent-3d", "train"), ("twemoji", "train"), ("clipart", "test"), ("noto", "new_style"))


@pytest.fixture
def video(tmp_path: Path) -> Callable[..., Path]:
    """(name, num_frames, height, width, rate) -> path of a video."""

    def make(
        name: str = "clip.mp4", num_frames: int = 6, height: int = 48, width: int = 64, rate: int = 5
    ) -> Path:
        with av.open(str(tmp_path / name), "w") as container:
            stream = container.add_stream("mpeg4", rate=rate)
            stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
            for number in range(num_frames):
                pixels = np.full((height, width, 3), 40 * number % 256, dtype=np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            container.mux(stream.encode(None))
        return tmp_path / name

    return make


@pytest.fixture(scope="session")
def picture_store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Path of a store of discs under the names of `THINGS`, one in each of `STYLES`."""
    entries = []
    for number, name in enumerate(THINGS):
        for kind, (style, split) in enumerate(STYLES):
            image = Image.new("RGBA", (64 + 8 * kind, 48 + 4 * number), (0, 0, 0, 0))
            color = (250 - 30 * number, 40 * kind, 30 * number, 255)
            ImageDraw.Draw(image).ellipse((0, 0, image.width - 1, image.height - 1), fill=color)
            file = f"{number}{kind}.png"
            entries.append((Picture(name, style, split, file, file, "MIT", mean_ink(image)), image))
    folder = tmp_path_factory.mktemp("pictures")
    write_store(folder / "pictures.zip", entries, {"side": 96})
    return str(folder)
