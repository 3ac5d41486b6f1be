"""Frames and needles that need no drawing code, and a video whose frames can be told apart."""

import sys
from collections.abc import Callable
from pathlib import Path

import av
import haystack_stand_in
import numpy as np
import pytest


@pytest.fixture
def stand_in(monkeypatch):
    """Simple pictures in place of the synthetic ones."""
    monkeypatch.setitem(sys.modules, "oryx.data.synthetic.haystack", haystack_stand_in)
    return haystack_stand_in


@pytest.fixture
def graded(tmp_path: Path) -> Callable[..., Path]:
    """(name, frames, first gray) -> a video whose frames grow lighter, with many keyframes."""

    def make(name: str = "a.mp4", num_frames: int = 40, first: int = 20, side: int = 32) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w") as container:
            stream = container.add_stream("mpeg4", rate=10, options={"g": "4", "q": "2"})
            stream.height, stream.width, stream.pix_fmt = side, side, "yuv420p"
            for number in range(num_frames):
                pixels = np.full((side, side, 3), first + 5 * number, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            container.mux(stream.encode(None))
        return path

    return make
