"""Charts as SVG that takes the colors and the width of the page it stands on."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from oryx.evaluation.comparison.html_page import NUM_COLORS, style
from oryx.evaluation.comparison.runs import Heat, Interval
from oryx.evaluation.heat_map import color_of

_WIDTH, _MARGIN = 760, 16
_BAR, _GAP, _ROW, _HEADING, _TOP = 14, 3, 12, 30, 24
_WIDE_NUMBER = 0.2
"""What a number takes of the width that is 100%, on a narrow screen."""
_HEAT_LEFT = 15  # percent of the width
_LINE, _LABEL = 15, 18
_LEFT, _PLOT = 28, 58  # percent of the width: where the bars begin, and how wide all of them are


@dataclass(frozen=True)
class Bar:
    """One bar."""

    run: int
    """Its color."""
    share: float
    interval: Interval | None
    """Both from 0 to 1."""


@dataclass(frozen=True)
class BarRow:
    """Bars of the same thing, one for each run that has it."""

    group: str
    label: str
    bars: Sequence[Bar]
    chance: float | None = None


def draw_bar_rows(rows: Sequence[BarRow], text: str) -> str:
    """Shares with their intervals, from left to right; rows of one group stand under its name."""
    parts: list[str] = []
    y, group = _TOP, ""
    for row in rows:
        if row.group != group:
            group = row.group
            y += _HEADING
            parts.append(f'<text class="strong" x="0" y="{y - 9}">{escape(group)}</text>')
        height = _row_height(row)
        parts.append(_bar_row(row, y, height))
        y += height
    lines = [
        _nested(_TOP - 6, y - _TOP + 8, _grid_line(share, y - _TOP + 8)) for share in (0, 25, 50, 75, 100)
    ]
    return _svg(y + 6, text, "".join([_axis(), *lines, *parts]))


def draw_heat(heat: Heat, text: str) -> str:
    """Shares as colored squares with numbers in them."""
    cell, top = 28, 22
    height = top + cell * len(heat.rows) + 40
    step = 100 / len(heat.columns)
    parts = [f'<text class="faint" x="0" y="{top - 8}">{escape(heat.row_title)}</text>']
    cells: list[str] = []
    for number, name in enumerate(heat.rows):
        y = top + cell * number
        parts.append(f'<text class="end" x="{_HEAT_LEFT - 2}%" y="{y + 18}">{escape(name)}</text>')
        for column, share in enumerate(heat.shares[number]):
            red, green, blue = color_of(float(share))
            ink = "#1b1f24" if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else "#ffffff"
            fill, at = f"rgb({red},{green},{blue})", f'x="{step * (column + 0.5):.2f}%" y="{y + 18}"'
            cells.append(
                f'<rect x="{step * column:.2f}%" y="{y}" width="{step:.2f}%" height="{cell}" fill="{fill}" '
                'stroke="var(--paper)"/>'
                f'<text class="middle value" {at} style="fill:{ink}">{100 * share:.0f}</text>'
            )
    bottom = top + cell * len(heat.rows)
    for column, name in enumerate(heat.columns):
        x = step * (column + 0.5)
        cells.append(f'<text class="middle" x="{x:.2f}%" y="{bottom + 17}">{escape(name)}</text>')
    cells.append(f'<text class="middle faint" x="50%" y="{bottom + 34}">{escape(heat.column_title)}</text>')
    width, body = 100 - _HEAT_LEFT, "".join(cells)
    inner = f'<svg x="{_HEAT_LEFT}%" y="0" width="{width}%" height="{height}">{body}</svg>'
    return _svg(height, text, "".join(parts) + inner, 60 + 96 * len(heat.columns))


def as_file(svg: str) -> str:
    """The same as a file of its own: with the style, a margin, and a width where nobody gives it one."""
    head = svg.split(">", 1)[0]
    height = int(head.split('height="', 1)[1].split('"', 1)[0])
    width = min(_WIDTH, *map(int, re.findall(r"max-width:(\d+)px", head)), _WIDTH)
    size = f'width="{width + 2 * _MARGIN}" height="{height + 2 * _MARGIN}"'
    styles = f"<style>{escape(style(), quote=False)}</style>"
    paper = '<rect class="paper" width="100%" height="100%"/>'
    inner = svg.replace("<svg ", f'<svg x="{_MARGIN}" y="{_MARGIN}" ', 1)
    inner = inner.replace('width="100%"', f'width="{width}"', 1)
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{styles}{paper}{inner}</svg>\n'


def _bar_row(row: BarRow, y: int, height: int) -> str:
    lines = textwrap.wrap(row.label, _LABEL, max_lines=2, placeholder=" ...")
    middle = y + (height - _ROW) / 2 + 4.5 - _LINE * (len(lines) - 1) / 2
    parts = [
        f'<text x="0" y="{middle + _LINE * number:g}">{escape(line)}</text>'
        for number, line in enumerate(lines)
    ]
    if len(" ".join(lines)) < len(row.label):
        parts = [f"<g><title>{escape(row.label)}</title>{''.join(parts)}</g>"]
    own = (_BAR + _GAP) * len(row.bars) - _GAP
    start = y + (height - _ROW - own) / 2
    for number, bar in enumerate(row.bars):
        top = start + (_BAR + _GAP) * number
        parts.append(_nested(top, _BAR, _bar(bar, row.chance)))
    if row.chance is not None:
        x = f"{100 * row.chance:.2f}%"
        line = f'<line class="chance" x1="{x}" x2="{x}" y1="0" y2="{own + 6:g}"/>'
        parts.append(_nested(start - 3, own + 6, line))
    return "".join(parts)


def _bar(bar: Bar, chance: float | None) -> str:
    middle = _BAR / 2
    color = f"r{bar.run % NUM_COLORS}"
    parts = [f'<rect class="{color}" width="{100 * bar.share:.2f}%" height="{_BAR}" rx="2"/>']
    if bar.interval is not None:
        low, high = (f"{100 * end:.2f}%" for end in bar.interval)
        for name in ("halo", "whisker"):
            parts.append(f'<line class="{name}" x1="{low}" x2="{high}" y1="{middle}" y2="{middle}"/>')
        for end in (low, high):
            parts.append(f'<line class="whisker" x1="{end}" x2="{end}" y1="3.5" y2="{_BAR - 3.5}"/>')
    right = bar.share if bar.interval is None else bar.interval[1]
    if chance is not None and right < chance < right + _WIDE_NUMBER:
        right = chance  # whose line would cross the number
    parts.append(f'<text class="value" x="{100 * right:.2f}%" dx="8" y="11.5">{100 * bar.share:.1f}%</text>')
    return "".join(parts)


def _row_height(row: BarRow) -> int:
    lines = len(textwrap.wrap(row.label, _LABEL, max_lines=2, placeholder=" ..."))
    return max((_BAR + _GAP) * len(row.bars) - _GAP, _LINE * lines) + _ROW


def _axis() -> str:
    labels = "".join(
        f'<text class="faint middle" x="{share}%" y="12">{share}%</text>' for share in (0, 25, 50, 75, 100)
    )
    return _nested(0, _TOP, labels)


def _grid_line(share: int, height: int) -> str:
    return f'<line class="grid" x1="{share}%" x2="{share}%" y1="0" y2="{height}"/>'


def _nested(y: float, height: float, body: str) -> str:
    """The part of the width in which bars stand."""
    return f'<svg x="{_LEFT}%" y="{y:g}" width="{_PLOT}%" height="{height:g}" overflow="visible">{body}</svg>'


def _svg(height: int, text: str, body: str, widest: int | None = None) -> str:
    wide = f' style="max-width:{widest}px"' if widest is not None else ""
    return f'<svg width="100%" height="{height}"{wide} role="img" aria-label="{escape(text)}">{body}</svg>'
