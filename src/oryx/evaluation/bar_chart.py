"""Shares of right answers as bars with their intervals, several series beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from PIL import Image, ImageDraw

from oryx.data.lettering import Font, own_font, text_width, wrap, write

# Blue, orange and green of Okabe and Ito: eyes that confuse red and green tell them apart.
_COLORS = ((0, 114, 178), (230, 159, 0), (0, 158, 115))
_INK, _FAINT, _GRID, _PAPER = (25, 25, 25), (95, 95, 95), (222, 222, 222), (255, 255, 255)
_HEIGHT, _LEFT, _TOP, _BOTTOM, _GAP, _BAR = 300, 52, 96, 56, 24, 18
_NARROWEST = 78
"""Room for a bar's name, whose words are not to be broken."""


@dataclass(frozen=True)
class Bars:
    """The bars of one thing that was measured."""

    name: str
    shares: Mapping[str, tuple[float, float, float]]
    """Series -> share, and the low and the high end of its interval, 0 to 1. A series may be left out."""
    chance: float | Mapping[str, float] | None = None
    """Drawn as a line across the bars, or across that of each series."""


@dataclass(frozen=True)
class Section:
    """Bars under one heading."""

    title: str
    bars: Sequence[Bars] = field(default_factory=list)


def draw_bars(
    title: str, series: Mapping[str, str], sections: Sequence[Section], chance: str | None = None
) -> Image.Image:
    """All sections from left to right.

    Args:
        title: over all.
        series: series -> what the legend calls it; at most three.
        chance: what the legend calls the line across the bars; None where no bars have one.
    """
    font, bold = own_font(12), own_font(16)
    step = max(_BAR * len(series) + 16, _NARROWEST)
    width = _LEFT + sum(step * len(section.bars) + _GAP for section in sections)
    image = Image.new("RGB", (max(width, 620), _TOP + _HEIGHT + _BOTTOM), _PAPER)
    draw = ImageDraw.Draw(image)
    write(draw, (12, 10), wrap(title, bold, image.width - 24, 1)[0], bold, _INK)
    _draw_legend(draw, [*series.values()], chance, font)
    for percent in range(0, 101, 20):
        y = _y(percent / 100)
        draw.line((_LEFT - 4, y, image.width - 8, y), fill=_GRID)
        text = f"{percent}%"
        write(draw, (_LEFT - 8 - text_width(text, font), y - 8), text, font, _FAINT)
    left = float(_LEFT)
    for section in sections:
        write(draw, (left, _TOP - 22), section.title, font, _INK)
        for bars in section.bars:
            start = left + (step - _BAR * len(series) - 8) / 2
            _draw_group(draw, bars, list(series), start, step, font)
            left += step
        left += _GAP
    return image


def _draw_group(
    draw: ImageDraw.ImageDraw, bars: Bars, series: Sequence[str], left: float, step: int, font: Font
) -> None:
    there = [name for name in series if name in bars.shares]
    start = left + _BAR * (len(series) - len(there)) / 2
    for place, name in enumerate(there):
        share, low, high = bars.shares[name]
        x = start + _BAR * place
        draw.rectangle((x, _y(share), x + _BAR - 3, _y(0)), fill=_COLORS[series.index(name)])
        middle = x + (_BAR - 3) / 2
        draw.line((middle, _y(low), middle, _y(high)), fill=_INK)
        for end in (low, high):
            draw.line((middle - 3, _y(end), middle + 3, _y(end)), fill=_INK)
    if isinstance(bars.chance, Mapping):
        for place, name in enumerate(there):
            y = _y(bars.chance[name])
            draw.line((start + _BAR * place - 3, y, start + _BAR * (place + 1) - 3, y), fill=_INK, width=2)
    elif bars.chance is not None:
        y = _y(bars.chance)
        draw.line((start - 3, y, start + _BAR * len(there), y), fill=_INK, width=2)
    for line, text in enumerate(wrap(bars.name, font, step - 6, 3)):
        middle = left + _BAR * len(series) / 2
        write(draw, (middle - text_width(text, font) / 2, _y(0) + 5 + 14 * line), text, font, _INK)


def _draw_legend(draw: ImageDraw.ImageDraw, names: Sequence[str], chance: str | None, font: Font) -> None:
    x = float(_LEFT)
    for color, name in zip(_COLORS, names):
        draw.rectangle((x, 42, x + 12, 54), fill=color)
        write(draw, (x + 18, 40), name, font, _INK)
        x += 34 + text_width(name, font)
    if chance is None:
        return
    draw.line((x, 48, x + 14, 48), fill=_INK, width=2)
    write(draw, (x + 20, 40), chance, font, _INK)


def _y(share: float) -> float:
    return _TOP + _HEIGHT * (1 - share)
