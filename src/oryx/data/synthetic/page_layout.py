"""Lines of text laid out on a page: where every line and every character is."""

import functools
import random
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from oryx.data.marks import Mark
from oryx.data.synthetic.text import background_marks, render_text

_CLEARANCE = 0.7  # ems between a letter's centre and a background mark


@dataclass(frozen=True)
class PageLayout:
    """Where everything is: the page's sides, and each line's mask, its corner and its characters' centres."""

    height: int
    width: int
    size: int
    masks: list[tuple[Image.Image, int, int]]
    """(mask, top, left) per line."""
    centers: list[list[tuple[float, float]]]
    """(y, x) of every character of every line, on the page."""


def lay_out(
    font: str,
    size: int,
    lines: Sequence[Sequence[str]],
    line_height: float,
    margin: int,
    extra: tuple[int, int],
    alignment: str,
    place: tuple[float, float],
) -> PageLayout:
    """Lines below each other, `line_height` ems apart.

    `extra` (height, width) pixels stay empty, and `place` (0 to 1 of both) says where in them the text lies;
    `alignment` is "left", "center" or "right".
    """
    rendered = [_render(font, size, " ".join(words)) for words in lines]
    step = max(size * line_height, 1.0)
    # A line's letters are centred on its own height; its tallest ink may need more than that.
    middles = [index * step for index in range(len(rendered))]
    tops = [middle - centers[0][0] for middle, (_, centers) in zip(middles, rendered, strict=True)]
    highest = min(tops)
    lowest = max(top + mask.height for top, (mask, _) in zip(tops, rendered, strict=True))
    text_height, text_width = round(lowest - highest) + 1, max(mask.width for mask, _ in rendered)
    height, width = text_height + 2 * margin + extra[0], text_width + 2 * margin + extra[1]
    origin_y = margin + extra[0] * place[0] - highest
    origin_x = margin + extra[1] * place[1]
    share = {"left": 0.0, "center": 0.5, "right": 1.0}[alignment]
    masks, moved = [], []
    for top, (mask, centers) in zip(tops, rendered, strict=True):
        row = round(origin_y + top)
        column = round(origin_x + share * (text_width - mask.width))
        masks.append((mask, row, column))
        moved.append([(row + y, column + x) for y, x in centers])
    return PageLayout(height, width, size, masks, moved)


def page_marks(rng: random.Random, lines: Sequence[Sequence[str]], layout: PageLayout) -> list[Mark]:
    """Every character on its ink, " " in the gaps between words, "." where nothing is."""
    marks: list[Mark] = []
    points: list[tuple[float, float]] = []
    for words, centers in zip(lines, layout.centers, strict=True):
        for character, (y, x) in zip(" ".join(words), centers, strict=True):
            marks.append(Mark(0, y / layout.height, x / layout.width, character))
            points.append((y, x))
    number = max(4, len(points) // 3)
    return marks + background_marks(
        rng, layout.height, layout.width, number, points, _CLEARANCE * layout.size
    )


@functools.lru_cache(maxsize=64)
def _render(font: str, size: int, text: str) -> tuple[Image.Image, list[tuple[float, float]]]:
    """One line; while words are taken off a page that is too large, the other lines stay as they are."""
    return render_text(font, size, text, 0.0)
