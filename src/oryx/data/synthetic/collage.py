"""Pictures of things pasted on a background: where they are, how they vary, what their marks say."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from oryx.data.marks import Mark
from oryx.data.pictures import ThingName
from oryx.data.synthetic.drawing import RGB, Background, color_distance, draw_background, flat
from oryx.data.synthetic.scenes import place_at
from oryx.data.synthetic.text import background_marks

_GAP = 2  # least pixels between two things' boxes
_MIN_DISTANCE = 110.0  # of 765, between a thing's mean colour and the background's
_INSIDE = 160  # least opacity, of 255, of a point that a mark may lie on
_NUM_MARKS = 4  # of one thing


@dataclass(frozen=True)
class Placed:
    """One thing on the canvas: what it is, its drawn picture (RGBA), and its centre (y, x) in pixels."""

    thing: ThingName
    image: Image.Image
    y: float
    x: float

    @property
    def corner(self) -> tuple[int, int]:
        """(top, left) of its box in pixels."""
        return round(self.y - self.image.height / 2), round(self.x - self.image.width / 2)


def apart(one: Placed, other: Placed) -> bool:
    """Whether two boxes keep clear of each other."""
    return (
        abs(one.y - other.y) >= (one.image.height + other.image.height) / 2 + _GAP
        or abs(one.x - other.x) >= (one.image.width + other.image.width) / 2 + _GAP
    )


def choose_background(rng: random.Random, kind: str, inks: Sequence[RGB]) -> Background:
    """A background from which every thing's mean colour differs; if none is found, white or black."""
    ends = [flat((255, 255, 255)), flat((0, 0, 0))]
    for _ in range(8):
        background = draw_background(rng, kind)
        if _distance(background, inks) >= _MIN_DISTANCE:
            return background
    return max(ends, key=lambda background: _distance(background, inks))


def _distance(background: Background, inks: Sequence[RGB]) -> float:
    return min(color_distance(ink, rgb) for ink in inks for rgb in (background.first, background.second))


def recoloured(rng: random.Random, image: Image.Image, jitter: float) -> Image.Image:
    """Other brightness, contrast and balance of colours, a little greyer; opacity stays."""
    if rng.random() < 0.3:
        return image
    contrast, offset = 1 + jitter * rng.uniform(-0.5, 0.5), 80 * jitter * rng.uniform(-1, 1)
    table: list[int] = []
    for _ in range(3):
        gain = contrast * (1 + jitter * rng.uniform(-0.3, 0.3))
        table += [min(255, max(0, round(128 + (value - 128) * gain + offset))) for value in range(256)]
    changed = image.point([*table, *range(256)])
    if rng.random() < 0.4:
        grey = changed.convert("LA").convert("RGBA")
        changed = Image.blend(changed, grey, jitter * rng.random())
    return changed


def paste_thing(image: Image.Image, item: Placed, shadow: bool) -> None:
    top, left = item.corner
    alpha = item.image.getchannel("A")
    if shadow:
        reach = max(1, max(item.image.size) // 24)
        soft = alpha.filter(ImageFilter.BoxBlur(reach)).point([value * 2 // 5 for value in range(256)])
        image.paste((0, 0, 0), (left + reach, top + reach), soft)
    image.paste(item.image, (left, top), alpha)


def thing_marks(rng: random.Random, placed: Sequence[Placed], height: int, width: int) -> list[Mark]:
    """A thing's name on points inside it, now and then a word of its place, and "." beside things."""
    marks: list[Mark] = []
    for item in placed:
        top, left = item.corner
        ys, xs = np.nonzero(np.asarray(item.image.getchannel("A")) >= _INSIDE)
        place = place_at(item.y / height, item.x / width)
        for point in range(min(_NUM_MARKS, len(ys))):
            index = rng.randrange(len(ys))
            y, x = (top + ys[index] + 0.5) / height, (left + xs[index] + 0.5) / width
            if 0 <= y < 1 and 0 <= x < 1:
                of_place = place is not None and point == _NUM_MARKS - 1 and rng.random() < 0.5
                text = rng.choice(place.split()) if of_place and place else item.thing.name
                marks.append(Mark(0, float(y), float(x), f" {text}"))
    spread = max((max(item.image.size) for item in placed), default=0) * 0.75 + _GAP
    centers = [(item.y, item.x) for item in placed]
    return marks + background_marks(rng, height, width, max(2, len(placed)), centers, spread)
