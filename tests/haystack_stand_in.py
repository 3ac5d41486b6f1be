"""Frames and needles for tests of what is done with them: gray ground, and plain squares of one color."""

import random

from PIL import Image

import oryx.data.synthetic.needles  # noqa: F401  the skill keeps the true haystack, whichever test is first

COLORS = {"red": (230, 20, 20), "green": (20, 160, 20), "blue": (20, 20, 230), "yellow": (240, 230, 20)}


def draw_haystack_frame(rng: random.Random, index: int, height: int, width: int) -> Image.Image:
    """A gray that changes from frame to frame; the generator is not moved on."""
    state = rng.getstate()
    gray = 60 + (rng.randrange(100) + 7 * index) % 120
    rng.setstate(state)
    return Image.new("RGB", (width, height), (gray, gray, gray))


def draw_needle(rng: random.Random, height: int, width: int) -> tuple[Image.Image, str, str]:
    """A colored square and the question about its color."""
    name = rng.choice(list(COLORS))
    image = Image.new("RGB", (width, height), (120, 120, 120))
    image.paste(COLORS[name], (width // 4, height // 4, 3 * width // 4, 3 * height // 4))
    return image, "What color is the square?", name
