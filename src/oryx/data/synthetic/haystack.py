"""Long videos of nothing in particular, and the needles to find in them.

A haystack drifts over muted clutter, scene after scene; a needle is one frame with one shape in a strong
colour. Colour alone tells the two apart: `is_muted` holds for every pixel of a haystack, and for no pixel of
a needle's ink. So a needle can be read from the one visual token that a small frame has at ratio 16.

    video = random.Random(7)
    frames = [draw_haystack_frame(video, index, 32, 32) for index in range(1600)]
    frames[400], question, answer = draw_needle(random.Random(8), 32, 32)
"""

import bisect
import functools
import math
import random
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from oryx.data.synthetic.drawing import (
    COLORS,
    NUM_VARIANTS,
    RGB,
    SHAPES,
    Background,
    draw_background,
    draw_color,
    flat,
)
from oryx.data.synthetic.questions import Question, choose_turns
from oryx.data.synthetic.sample import between, whole_between
from oryx.data.synthetic.scenes import Thing, paste

NEEDLE_KINDS = ("object", "color", "shape")

# A muted colour's channels lie in this range, and at most so far from one another.
_MUTED_RANGE = (50, 212)
_MUTED_CHROMA = 56

_SCENE_FRAMES = (12, 60)
_NEEDLE_SIZE = (0.45, 0.7)
_GRAIN = 0.06


class Haystack:
    """An endless video of muted clutter: `frame(i)` depends on the arguments and on i alone.

    It pans over one scene for a while and cuts to the next; neighbouring frames look alike. Only the scene in
    view is kept, so that memory does not grow with the number of frames.

    Args:
        seed: which video.
        height, width: of the frames, in pixels.
    """

    def __init__(self, seed: int, height: int, width: int) -> None:
        self.seed, self.height, self.width = seed, height, width
        self._lengths = random.Random(f"{seed} lengths")
        self._cuts = [0]
        self._scene: tuple[int, _Scene] | None = None

    def frame(self, index: int) -> Image.Image:
        """Frame `index` (0 or more), a new RGB picture."""
        while self._cuts[-1] <= index:
            self._cuts.append(self._cuts[-1] + whole_between(self._lengths, _SCENE_FRAMES))
        number = bisect.bisect_right(self._cuts, index) - 1
        scene = self._scene
        if scene is None or scene[0] != number:
            rng = random.Random(f"{self.seed} scene {number}")
            scene = self._scene = number, _Scene(rng, self.height, self.width)
        return scene[1].frame(index - self._cuts[number], index)


class _Scene:
    """A picture larger than the frame that the camera drifts over, and a scrap that crosses it."""

    def __init__(self, rng: random.Random, height: int, width: int) -> None:
        self.height, self.width = height, width
        self.plate = _clutter(rng, _muted_background(rng), 2 * height, 2 * width)
        self.phase = rng.random() * 2 * math.pi, rng.random() * 2 * math.pi
        self.speed = between(rng, (0.02, 0.12)), between(rng, (0.02, 0.12))
        side = max(4, min(height, width) // 3)
        self.scrap = Image.new("L", (side, side), 0)
        ImageDraw.Draw(self.scrap).polygon(_scrap(rng, side, side), fill=255)
        self.scrap_color = _muted(rng)
        self.scrap_start = rng.random() * height, rng.random() * width
        self.scrap_speed = between(rng, (-1.5, 1.5)), between(rng, (-1.5, 1.5))

    def frame(self, time: int, index: int) -> Image.Image:
        """The view at `time` frames after the scene's begin; `index` shifts the grain."""
        top, left = (
            round(side / 2 * (1 + math.sin(phase + speed * time)))
            for side, phase, speed in zip((self.height, self.width), self.phase, self.speed, strict=True)
        )
        image = self.plate.crop((left, top, left + self.width, top + self.height))
        y, x = (
            round(start + speed * time) % (side + self.scrap.height) - self.scrap.height
            for start, speed, side in zip(
                self.scrap_start, self.scrap_speed, (self.height, self.width), strict=True
            )
        )
        image.paste(self.scrap_color, (x, y), self.scrap)
        return Image.blend(image, _grain(self.height, self.width, index % 16), _GRAIN)


def draw_haystack_frame(rng: random.Random, index: int, height: int, width: int) -> Image.Image:
    """Frame `index` of the haystack that the generator's present state stands for, as an RGB picture.

    The generator is not moved on: in the same state it gives all frames of one video, in any order.
    """
    twin = random.Random(0)
    twin.setstate(rng.getstate())
    return _haystack(twin.getrandbits(64), height, width).frame(index)


_haystack = functools.lru_cache(maxsize=4)(Haystack)


def draw_needle(rng: random.Random, height: int, width: int) -> tuple[Image.Image, str, str]:
    """A needle (RGB), one question about it in one of its wordings, and the answer.

    The question does not say how many frames there are; `questions.tell_frames` puts that before it.
    """
    image, thing = draw_needle_frame(rng, rng.choice(list(COLORS)), rng.choice(SHAPES), height, width)
    ((question, answer),) = choose_turns(rng, needle_questions([thing]), 1)
    return image, question, answer


def draw_needle_frame(
    rng: random.Random, color: str, shape: str, height: int, width: int
) -> tuple[Image.Image, Thing]:
    """A frame with one object, large and plain to see: half the time on clutter as a haystack has it."""
    rgb, image = _needle_ground(rng, color, height, width)
    size = round(between(rng, _NEEDLE_SIZE) * min(height, width))
    y, x = rng.uniform(size / 2, height - size / 2), rng.uniform(size / 2, width - size / 2)
    thing = Thing(shape, color, y, x, size, rng.randrange(NUM_VARIANTS), rgb)
    paste(image, thing)
    return image, thing


def _needle_ground(rng: random.Random, color: str, height: int, width: int) -> tuple[RGB, Image.Image]:
    """A tone of the colour, and an empty picture on which it is plain to see."""
    for _ in range(20):
        rgb = draw_color(rng, color, varied=True)
        if rng.random() < 0.5:
            background = _muted_background(rng)
            if background.contrasts(rgb):
                return rgb, _clutter(rng, background, height, width)
        else:
            background = draw_background(rng, "varied")
            if background.contrasts(rgb):
                return rgb, background.paint(rng, height, width)
    ends = (flat((255, 255, 255)), flat((0, 0, 0)))  # whatever the colour, one of the two is far from it
    return rgb, next(end for end in ends if end.contrasts(rgb)).paint(rng, height, width)


def needle_questions(things: Sequence[Thing]) -> dict[str, list[Question]]:
    """Kind -> questions about the needles of one video, which have all colours and shapes different."""
    return {
        "object": [("needle", {}, things[0].name)] if len(things) == 1 else [],
        "color": [("color_of_shape", {"shape": thing.shape}, thing.color) for thing in things],
        "shape": [("shape_of_color", {"color": thing.color}, thing.shape) for thing in things],
    }


def is_muted(pixels: np.ndarray) -> np.ndarray:
    """Which pixels (..., 3) could be a haystack's: neither strong in colour nor near white or black."""
    low, high = pixels.min(axis=-1).astype(int), pixels.max(axis=-1).astype(int)
    return (low >= _MUTED_RANGE[0]) & (high <= _MUTED_RANGE[1]) & (high - low <= _MUTED_CHROMA)


def _muted(rng: random.Random) -> RGB:
    base, reach = whole_between(rng, (84, 172)), _MUTED_CHROMA // 2
    red, green, blue = (base + whole_between(rng, (-reach, reach)) for _ in range(3))
    return red, green, blue


def _muted_background(rng: random.Random) -> Background:
    return Background(_muted(rng), _muted(rng), rng.choice(("gradient", "noise", "clouds", "stripes")))


def _clutter(rng: random.Random, background: Background, height: int, width: int) -> Image.Image:
    """The background with lines, strokes and scraps on it, all in muted colours."""
    image = background.paint(rng, height, width)
    draw = ImageDraw.Draw(image)
    reach = min(height, width)
    for _ in range(whole_between(rng, (4, 12))):
        y, x = rng.random() * height, rng.random() * width
        kind = rng.random()
        if kind < 0.45:
            line = [(x, y)]
            for _ in range(whole_between(rng, (1, 3))):
                x, y = x + reach * rng.uniform(-0.5, 0.5), y + reach * rng.uniform(-0.5, 0.5)
                line.append((x, y))
            draw.line(line, fill=_muted(rng), width=whole_between(rng, (1, max(1, reach // 16))))
        else:
            tall, wide = reach * rng.uniform(0.1, 0.45), reach * rng.uniform(0.1, 0.45)
            outline = [(x + dx, y + dy) for dx, dy in _scrap(rng, tall, wide)]
            draw.polygon(outline, fill=_muted(rng))
    return image


def _scrap(rng: random.Random, height: float, width: float) -> list[tuple[float, float]]:
    """An irregular outline, (x, y) inside the box: no shape that has a name here."""
    corners = whole_between(rng, (5, 8))
    start = rng.random() * 2 * math.pi
    points = []
    for k in range(corners):
        angle, radius = start + (k + rng.uniform(-0.3, 0.3)) * 2 * math.pi / corners, rng.uniform(0.35, 1.0)
        points.append(
            (width / 2 * (1 + radius * math.cos(angle)), height / 2 * (1 + radius * math.sin(angle)))
        )
    return points


@functools.lru_cache(maxsize=256)
def _grain(height: int, width: int, number: int) -> Image.Image:
    values = np.random.default_rng(number).integers(0, 256, (height, width), dtype=np.uint8)
    return Image.fromarray(values, "L").convert("RGB")
