"""Small films whose scenes are told apart by color, and a captioner's server that does what a test wants."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from fake_chat import FakeServer
from PIL import Image

HEIGHT, WIDTH, RATE = 48, 64, 8
COLORS = ((200, 40, 40), (40, 160, 40), (40, 60, 210), (220, 210, 40), (150, 40, 160), (240, 140, 30))


def draw_frame(scene: int, number: int) -> Image.Image:
    """A checkered ground in the scene's color, over which a white bar moves."""
    rng = np.random.default_rng(scene)
    coarse = rng.integers(0, 90, (6, 8, 1), dtype=np.uint8)
    ground = np.kron(coarse, np.ones((8, 8, 1), np.uint8)) + np.zeros(3, np.uint8)
    color = np.array(COLORS[scene % len(COLORS)], np.int16)
    pixels = (color - 45 + ground).clip(0, 255).astype(np.uint8)
    pixels[:, number % (WIDTH - 4) : number % (WIDTH - 4) + 4] = 255
    return Image.fromarray(pixels)


def make_film(path: Path, scenes: tuple[int, ...] = (20, 30, 25, 25)) -> Path:
    """A film with so many frames in each scene; -n stands for n black ones."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=RATE, options={"g": "12", "q": "3"})
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        stream.codec_context.thread_count = 1
        for scene, length in enumerate(scenes):
            for number in range(abs(length)):
                picture = draw_frame(scene, number) if length > 0 else Image.new("RGB", (WIDTH, HEIGHT))
                container.mux(stream.encode(av.VideoFrame.from_image(picture)))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def film(tmp_path: Path) -> Callable[..., Path]:
    """(name, frames of each scene) -> path of a film in the folder "videos"."""
    return lambda name="a.mp4", *scenes: make_film(tmp_path / "videos" / name, *scenes)


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three films."""
    folder = tmp_path_factory.mktemp("films")
    make_film(folder / "a.mp4")
    make_film(folder / "inner" / "b.mkv", (40, 30, 30))
    make_film(folder / "c.mp4", (30, 30, 40))
    return folder


@pytest.fixture
def server() -> Iterator[FakeServer]:
    """An endpoint on this machine."""
    fake = FakeServer()
    yield fake
    fake.close()


other_server = server
"""Another one."""


class SayingCaptioner:
    """Says what it is told to: texts, or errors to raise, one after the other; then numbered sentences."""

    name = "sayer"

    def __init__(self, *said: Any, workers: int = 1, is_deterministic: bool = False) -> None:
        self.said = list(said)
        self.workers = workers
        self.is_deterministic = is_deterministic
        self.asked: list[tuple[int, str]] = []
        self._lock = threading.Lock()

    def describe(self, pictures: Any, prompt: str) -> str:
        with self._lock:
            self.asked.append((len(pictures), prompt))
            answer = self.said.pop(0) if self.said else f"A colored ground, seen {len(self.asked)} times."
        if isinstance(answer, BaseException):
            raise answer
        return answer


@pytest.fixture
def sayer() -> type[SayingCaptioner]:
    """A captioner without a server."""
    return SayingCaptioner
