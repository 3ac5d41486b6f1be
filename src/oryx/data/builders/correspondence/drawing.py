"""Numbered dots on views, and a contact sheet of them. The digits are strokes: no font is needed."""

import functools
import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from oryx.data.builders.correspondence.selection import K
from oryx.errors import ConfigError

RGB = tuple[int, int, int]
Point = tuple[float, float]

MIN_SIZE = 9
"""Pixels: a digit in a smaller dot cannot be told from another."""
MIN_SIZE_OF_TWO = 13
"""The same where a number has two digits."""
SIZE_SHARE = 1 / 16
"""Diameter of a dot unless told otherwise, of the shorter side of the smallest view."""
SMALLEST_DEFAULT = 15
LARGEST_NUMBER = 99

_FINER = 8  # sprites are drawn so many times larger and then reduced, for smooth edges


@dataclass(frozen=True)
class MarkStyle:
    """Colours of a dot, each (red, green, blue) of 0 to 255."""

    fill: RGB = (214, 24, 36)
    digit: RGB = (255, 255, 255)
    edge: RGB = (255, 255, 255)
    """A thin ring, so that the dot stands out on its own colour too."""


def default_size(views: Sequence[Image.Image]) -> int:
    """Diameter in pixels that suits all of the views: a share of the smallest one's shorter side."""
    shorter = min(min(view.size) for view in views)
    return max(SMALLEST_DEFAULT, round(shorter * SIZE_SHARE))


def least_size(largest: int) -> int:
    """Diameter in pixels from which numbers up to `largest` can be read."""
    return MIN_SIZE if largest <= 9 else MIN_SIZE_OF_TWO


def draw_marks(
    views: Sequence[Image.Image],
    centers: Mapping[K, Mapping[int, Point]],
    numbers: Mapping[K, int],
    size: int | None = None,
    style: MarkStyle = MarkStyle(),
) -> list[Image.Image]:
    """New RGB views with a dot of the object's number wherever it is seen. The given views stay as they are.

    All dots have one size, in every view and however large the object is. Near the border a dot is moved
    inside, so that it is whole. Where dots overlap, the smaller number lies on top.

    Args:
        views: pictures of one scene.
        centers: object id -> index of a view -> (y, x) in pixels there. Those without a number stay unmarked.
        numbers: object id -> 0 to 99.
        size: diameter in pixels, at least 9, or 13 with a number above 9; `default_size` if None.
        style: colours.

    Raises:
        ConfigError: a size or a number out of range, or a center that lies outside of its view.
    """
    if not views:
        return []
    diameter = default_size(views) if size is None else size
    least = least_size(max(numbers.values(), default=0))
    if isinstance(diameter, bool) or not isinstance(diameter, int) or diameter < least:
        raise ConfigError(f"the marks' size is {size!r}; at least {least} pixels are needed.")
    drawn = [view.convert("RGB") if view.mode != "RGB" else view.copy() for view in views]
    for name, number in sorted(numbers.items(), key=lambda item: -item[1]):
        dot = _dot(_checked_number(name, number), diameter, style)
        for index, center in centers.get(name, {}).items():
            if not 0 <= index < len(drawn):
                raise ConfigError(f"object {name} is marked in view {index}; there are {len(drawn)} views.")
            corner = _corner(drawn[index], center, diameter, f"object {name}, view {index}")
            drawn[index].paste(dot, corner, dot)
    return drawn


def contact_sheet(
    views: Sequence[Image.Image], columns: int | None = None, width: int = 320, gap: int = 6
) -> Image.Image:
    """All views in rows, each scaled to `width` pixels, on a dark ground: one picture to look at.

    Args:
        views: at least one.
        columns: views in a row; about a square if None.
        width: pixels of each view. The tallest view of a row sets the row's height.
        gap: pixels between views and around them.
    """
    columns = columns or max(1, math.ceil(math.sqrt(len(views))))
    small = [view.resize((width, max(1, round(view.height * width / view.width)))) for view in views]
    rows = [small[start : start + columns] for start in range(0, len(small), columns)]
    heights = [max(view.height for view in row) for row in rows]
    sheet = Image.new(
        "RGB",
        (min(columns, len(small)) * (width + gap) + gap, sum(heights) + gap * (len(rows) + 1)),
        (32, 32, 32),
    )
    top = gap
    for row, height in zip(rows, heights):
        for column, view in enumerate(row):
            sheet.paste(view, (gap + column * (width + gap), top))
        top += height + gap
    return sheet


def _checked_number(name: Hashable, number: int) -> int:
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= LARGEST_NUMBER:
        raise ConfigError(f"object {name} has the number {number!r}; 0 to {LARGEST_NUMBER} can be drawn.")
    return number


def _corner(view: Image.Image, center: Point, diameter: int, where: str) -> tuple[int, int]:
    """(left, top) of the dot."""
    y, x = center
    if not (0 <= y <= view.height and 0 <= x <= view.width):
        raise ConfigError(
            f"{where}: the center ({y:g}, {x:g}) lies outside of {view.height} x {view.width} pixels."
        )
    left, top = (round(value - diameter / 2) for value in (x, y))
    return max(0, min(left, view.width - diameter)), max(0, min(top, view.height - diameter))


@functools.lru_cache(maxsize=256)
def _dot(number: int, diameter: int, style: MarkStyle) -> Image.Image:
    """An RGBA sprite of diameter x diameter pixels."""
    side = diameter * _FINER
    image = Image.new("RGBA", (side, side), (*style.edge, 0))
    draw = ImageDraw.Draw(image)
    draw.ellipse((0, 0, side - 1, side - 1), fill=(*style.edge, 255))
    ring = max(1.0, diameter / 16) * _FINER
    draw.ellipse((ring, ring, side - 1 - ring, side - 1 - ring), fill=(*style.fill, 255))
    digits = str(number)
    height = side * (0.62 if len(digits) == 1 else 0.48)
    pen = max(1.25 * _FINER, height * 0.17)
    advance = height * 0.6 + pen * 1.3
    left = (side - advance * (len(digits) - 1) - height * 0.6) / 2
    for place, digit in enumerate(digits):
        corner = np.array((left + place * advance, (side - height) / 2))
        for stroke in _strokes(digit):
            _line(draw, corner + np.array(stroke) * height, pen, style.digit)
    return image.resize((diameter, diameter), Image.Resampling.BOX)


def _line(draw: ImageDraw.ImageDraw, points: np.ndarray, pen: float, color: RGB) -> None:
    """A round-ended line through (N, 2) points of (x, y)."""
    draw.line([tuple(point) for point in points], fill=(*color, 255), width=round(pen), joint="curve")
    for x, y in points[[0, -1]]:
        draw.ellipse((x - pen / 2, y - pen / 2, x + pen / 2, y + pen / 2), fill=(*color, 255))


def _strokes(digit: str) -> list[list[Point]]:
    """Lines of (x, y) in a box 0.6 wide and 1 high."""
    if digit == "0":
        return [_arc(0.3, 0.5, 0.27, 0.5, 0, 360)]
    if digit == "1":
        return [[(0.1, 0.22), (0.36, 0.0), (0.36, 1.0)]]
    if digit == "2":
        return [[*_arc(0.3, 0.28, 0.26, 0.28, 190, 390), (0.04, 1.0), (0.58, 1.0)]]
    if digit == "3":
        return [_arc(0.28, 0.25, 0.25, 0.25, 200, 450), _arc(0.28, 0.74, 0.28, 0.26, 270, 515)]
    if digit == "4":
        return [[(0.45, 1.0), (0.45, 0.0), (0.0, 0.7), (0.62, 0.7)]]
    if digit == "5":
        return [[(0.53, 0.0), (0.1, 0.0), (0.06, 0.45), *_arc(0.29, 0.67, 0.28, 0.33, 235, 510)]]
    if digit in "69":
        hook = [(0.47, 0.02), *_arc(0.3, 0.69, 0.28, 0.31, 195, 555)]
        return [hook] if digit == "6" else [[(0.6 - x, 1.0 - y) for x, y in hook]]
    if digit == "7":
        return [[(0.04, 0.0), (0.56, 0.0), (0.22, 1.0)]]
    return [_arc(0.3, 0.25, 0.23, 0.25, 0, 360), _arc(0.3, 0.74, 0.28, 0.26, 0, 360)]


def _arc(x: float, y: float, across: float, down: float, start: float, end: float) -> list[Point]:
    """Points of an ellipse's arc, clockwise as it is seen; 0 degrees is to the right."""
    angles = np.radians(np.linspace(start, end, 24))
    return [(x + across * math.cos(angle), y + down * math.sin(angle)) for angle in angles]
