"""What tests of several parts share: small videos."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest


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
