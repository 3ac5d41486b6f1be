"""Shares of right answers as colored squares with numbers in them, several maps side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from oryx.data.lettering import Font, own_font, text_width, wrap, write

# Dark violet to yellow, as in "viridis": it stays readable in gray and to eyes that confuse red and green.
_COLORS = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))
_INK, _FAINT, _PAPER = (25, 25, 25), (95, 95, 95), (255, 255, 255)
_CELL_HEIGHT, _LEFT, _TOP, _BOTTOM, _GAP = 30, 74, 92, 46, 28
_LEGEND = 92


@dataclass(frozen=True)
class HeatMap:
    """One map."""

    title: str
    note: str
    shares: np.ndarray
    """(rows, columns), 0 to 1."""


def draw_heat_maps(
    maps: Sequence[HeatMap], rows: Sequence[str], columns: Sequence[str], row_title: str, column_title: str
) -> Image.Image:
    """All maps in one picture, with one scale of colors.

    Args:
        maps: at least one; all of the same shape.
        rows, columns: what stands beside each row and under each column.
        row_title, column_title: what they are.
    """
    font, bold = own_font(13), own_font(16)
    cell = max(58, 14 + int(max(text_width(text, font) for text in columns)))
    panel = _LEFT + max(cell * len(columns), 190) + _GAP
    height = _TOP + _CELL_HEIGHT * len(rows) + _BOTTOM
    image = Image.new("RGB", (panel * len(maps) + _LEGEND, max(height, _TOP + 150 + _BOTTOM)), _PAPER)
    draw = ImageDraw.Draw(image)
    for number, one in enumerate(maps):
        left = number * panel
        write(draw, (left + 12, 10), wrap(one.title, bold, panel - 16, 1)[0], bold, _INK)
        for line, text in enumerate(wrap(one.note, font, panel - 16, 2)):
            write(draw, (left + 12, 32 + 16 * line), text, font, _FAINT)
        _draw_cells(draw, one.shares, left + _LEFT, cell, font)
        for row, text in enumerate(rows):
            y = _TOP + _CELL_HEIGHT * row + 8
            write(draw, (left + _LEFT - 8 - text_width(text, font), y), text, font, _INK)
        bottom = _TOP + _CELL_HEIGHT * len(rows) + 6
        for column, text in enumerate(columns):
            x = left + _LEFT + cell * (column + 0.5) - text_width(text, font) / 2
            write(draw, (x, bottom), text, font, _INK)
        write(draw, (left + _LEFT, bottom + 18), column_title, font, _FAINT)
        write(draw, (left + 12, _TOP - 20), row_title, font, _FAINT)
    _draw_legend(draw, panel * len(maps), font)
    return image


def _draw_cells(draw: ImageDraw.ImageDraw, shares: np.ndarray, left: int, cell: int, font: Font) -> None:
    for (row, column), share in np.ndenumerate(shares):
        x, y = left + cell * column, _TOP + _CELL_HEIGHT * row
        color = color_of(float(share))
        draw.rectangle((x, y, x + cell - 2, y + _CELL_HEIGHT - 2), fill=color)
        text = f"{100 * share:.0f}"
        ink = _INK if _brightness(color) > 140 else _PAPER
        write(draw, (x + (cell - text_width(text, font)) / 2, y + 7), text, font, ink)


def _draw_legend(draw: ImageDraw.ImageDraw, left: int, font: Font) -> None:
    for step in range(101):
        y = _TOP + 150 - 1.5 * step
        draw.rectangle((left, y - 1.5, left + 16, y), fill=color_of(step / 100))
        if step % 25 == 0:
            write(draw, (left + 22, y - 8), f"{step}%", font, _INK)
    write(draw, (left, _TOP - 26), "right", font, _FAINT)


def color_of(share: float) -> tuple[int, int, int]:
    """The color of a share, 0 to 1."""
    place = min(max(share, 0.0), 1.0) * (len(_COLORS) - 1)
    low = min(int(place), len(_COLORS) - 2)
    pairs = zip(_COLORS[low], _COLORS[low + 1], strict=True)
    red, green, blue = (round(a + (b - a) * (place - low)) for a, b in pairs)
    return red, green, blue


def _brightness(color: tuple[int, int, int]) -> float:
    return 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]
