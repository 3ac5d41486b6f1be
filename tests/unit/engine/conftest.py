"""A small real video, and a tiny model."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from factories import make_model, make_processor


@pytest.fixture(scope="session")
def processor():
    return make_processor()


@pytest.fixture(scope="session")
def model():
    return make_model()


@pytest.fixture
def video(tmp_path: Path) -> Callable[..., Path]:
    """(name, num_frames, seed, height, width) -> path of a video of noise."""

    def make(
        name: str = "clip.mp4", num_frames: int = 12, seed: int = 0, height: int = 48, width: int = 64
    ) -> Path:
        random = np.random.default_rng(seed)
        with av.open(str(tmp_path / name), "w") as container:
            stream = container.add_stream("mpeg4", rate=5)
            stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
            for _ in range(num_frames):
                pixels = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            container.mux(stream.encode(None))
        return tmp_path / name

    return make
