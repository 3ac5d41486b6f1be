"""The command line in this process, and small real media."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

import oryx
from oryx.cli.main import main

TINY = Path(__file__).parents[2] / "parity" / "reference" / "oryx-tiny-qwen"


class Result(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """(arguments) -> exit code, stdout and stderr."""

    def call(*arguments: object) -> Result:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return Result(code, *capsys.readouterr())

    return call


@pytest.fixture
def refused(run: Callable[..., Result]) -> Callable[..., str]:
    """(arguments) -> the one sentence on stderr of a command that must exit with 2."""

    def call(*arguments: object) -> str:
        result = run(*arguments)
        assert result.code == 2, result
        assert result.out == ""
        assert result.err.startswith("oryx: ")
        assert result.err.count("\n") == 1
        return result.err

    return call


@pytest.fixture(scope="session")
def tiny() -> Path:
    """The reference's tiny checkpoint, in the published layout."""
    return TINY


@pytest.fixture(scope="session")
def native(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same in the native layout."""
    return oryx.convert(TINY, tmp_path_factory.mktemp("native") / "tiny")


@pytest.fixture
def picture(tmp_path: Path) -> Callable[..., Path]:
    """(name, height, width) -> path of a picture of noise."""

    def make(name: str = "cat.png", height: int = 40, width: int = 56) -> Path:
        pixels = np.random.default_rng(height * width).integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / name)
        return tmp_path / name

    return make


@pytest.fixture
def animation(tmp_path: Path) -> Path:
    """A GIF of three frames."""
    frames = [Image.new("RGB", (30, 20), color) for color in ("red", "green", "blue")]
    frames[0].save(tmp_path / "wave.gif", save_all=True, append_images=frames[1:], duration=100)
    return tmp_path / "wave.gif"


@pytest.fixture
def scene(tmp_path: Path, picture: Callable[..., Path]) -> Path:
    """A folder of four views."""
    (tmp_path / "room").mkdir()
    for number in range(4):
        picture(f"room/view{number}.png")
    return tmp_path / "room"
