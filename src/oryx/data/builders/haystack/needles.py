"""Needles: pictures with a question and its answer, drawn or from a file, and where they are put."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from oryx.data.sources.llava import find_lines, read_line
from oryx.errors import ConfigError, MediaError
from oryx.media.image import image_size, open_image


@dataclass(frozen=True)
class Needle:
    """What is to be found."""

    image: Image.Image
    """RGB, of the haystack's size."""
    question: str
    answer: str


Needles = Callable[[int], Needle]
"""Number -> needle, for as many as are wanted."""


def drawn_needles(seed: int, height: int, width: int) -> Needles:
    """Needle k of a seed: one shape in a strong color, and a question about it."""

    def draw(number: int) -> Needle:
        from oryx.data.synthetic.haystack import draw_needle

        return Needle(*draw_needle(random.Random(f"{seed} needle {number}"), height, width))

    return draw


def read_needles(path: Path, seed: int, height: int, width: int) -> Needles:
    """Needles from JSONL: {"image": path beside the file, "question", "answer"} a line.

    They are taken in an order drawn by seed, and again where more are wanted. A picture is fitted into the
    haystack's frames, on black where its shape is another.

    Raises:
        ConfigError: the file cannot be read, is empty, or a line is something else.
        MediaError: a picture that cannot be read.
    """
    try:
        lines = find_lines(path)
    except OSError as error:
        raise ConfigError(f"the needles {path} cannot be read ({error}).") from None
    entries = []
    for line in lines:
        place = f"{path} line {line[2]}"
        try:
            entry = read_line(path, line)
            texts = [entry[key] for key in ("image", "question", "answer")]
        except (ConfigError, KeyError, TypeError):
            texts = []
        if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
            raise ConfigError(f"{place} must be an object with image, question and answer, all texts.")
        try:
            "".join(texts).encode()
            image_size(path.parent / texts[0])
        except UnicodeEncodeError:
            raise ConfigError(f"{place} holds half a character, as is left of a cut-off emoji.") from None
        except MediaError as error:
            raise MediaError(f"{place}: {error}") from None
        entries.append((path.parent / texts[0], *texts[1:]))
    if not entries:
        raise ConfigError(f"the needles {path} hold no line.")
    random.Random(f"{seed} needles").shuffle(entries)

    def read(number: int) -> Needle:
        picture, question, answer = entries[number % len(entries)]
        return Needle(ImageOps.pad(open_image(picture), (width, height)), question, answer)

    return read


def parse_depths(text: str) -> tuple[float, ...]:
    """`10`: so many depths, evenly from 0 to 100 percent; `0,33.3,100` or `50%`: these.

    Raises:
        ConfigError: anything else, or a depth outside.
    """
    parts = [part.strip() for part in text.split(",")]
    try:
        if len(parts) == 1 and not text.strip().endswith("%"):
            number = int(text)
            if not 1 <= number <= 1000:
                raise ConfigError(f"depths are {text}; from 1 to 1000 of them, or a list such as 0,50,100.")
            return tuple(round(float(depth), 2) for depth in np.linspace(0, 100, number))
        depths = tuple(float(part.removesuffix("%")) for part in parts)
    except ValueError:
        raise ConfigError(
            f"depths are {text!r}; a number of them is needed, or these, as in 0,50,100 or 50%."
        ) from None
    if not all(0 <= depth <= 100 for depth in depths) or len(set(depths)) < len(depths):
        raise ConfigError(f"depths are {text}; each must be from 0 to 100 (percent), none twice.")
    return tuple(sorted(depths))


def parse_lengths(text: str) -> tuple[int, ...]:
    """`100,400,1600`: numbers of frames, the needle's among them. Raises ConfigError for anything else."""
    try:
        lengths = sorted({int(part) for part in text.split(",")})
    except ValueError:
        raise ConfigError(f"frames are {text!r}; whole numbers are needed, such as 100,400,1600.") from None
    if lengths[0] < 2:
        raise ConfigError(
            f"frames hold {lengths[0]}; each is a length of at least 2, the needle's frame among them, as in "
            "100,400,1600."
        )
    return tuple(lengths)


def needle_index(depth: float, num_frames: int) -> int:
    """Frame that the needle becomes at a depth in percent: 0 is the first of `num_frames`, 100 the last."""
    return round(depth / 100 * (num_frames - 1))
